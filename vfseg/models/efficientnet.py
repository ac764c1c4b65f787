"""EfficientNet-Lite0 without its classifier: EfficientNet-B0 less squeeze-and-excite, with ReLU6.

References:
    Tan & Le, 2019, ICML: EfficientNet, rethinking model scaling for convolutional neural networks.
    Sandler et al., 2018, CVPR: MobileNetV2, inverted residuals and linear bottlenecks.
    Liu, 2020, TensorFlow blog: Higher accuracy on vision models with EfficientNet-Lite.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models.conv_norm import ConvNorm, with_constant

STEM_FEATURES = 32
# Kernel size, stride, expansion and output channels of the 16 blocks; a stride of 2 begins a scale.
BLOCKS = (
    (3, 1, 1, 16),
    *((3, 2, 6, 24), (3, 1, 6, 24)),
    *((5, 2, 6, 40), (5, 1, 6, 40)),
    *((3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)),
    *((5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)),
    *((5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192)),
    (3, 1, 6, 320),
)


class InvertedResidual(nn.Module):
    """Expand by 1x1, convolve each channel by itself, project by 1x1 without activation.

    Attributes:
        size: of the depthwise kernel.
        stride: 1 or 2, of the depthwise convolution.
        expansion: inner channels over input channels; 1 leaves the first convolution out.
        features: output channels; where the shape stays, the input is added.
        norm: "group" or "folded", see `vfseg.models.conv_norm`.
        dtype: compute dtype.
    """

    size: int
    stride: int
    expansion: int
    features: int
    norm: str
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n h w c` to `n h/stride w/stride features`, sizes rounded up."""
        inner = self.expansion * x.shape[-1]
        conv = functools.partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        y = x
        if self.expansion != 1:
            y = nn.relu6(conv(inner, 1, name="expand")(y))
        depthwise = conv(inner, self.size, self.stride, depthwise=True, name="depthwise")
        y = nn.relu6(depthwise(y))
        y = conv(self.features, 1, name="project")(y)
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """The trunk; padding as TensorFlow's SAME.

    Folded, the input gets a constant channel (see `with_constant`), and the weights are those of
    an ImageNet network behind the input map of `vfseg.models.pretrained`.

    Attributes:
        scales: how many of the scales at strides 2, 4, 8, 16, 32, which have 16, 24, 40, 112 and
            320 channels.
        norm: "group" or "folded", see `vfseg.models.conv_norm`.
        dtype: compute dtype.
    """

    scales: int = 5
    norm: str = "group"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Maps slices `n h w c` (-1..1) to one `n h/2**s w/2**s f_s` per scale s = 1, 2, ...

        Sizes are rounded up at each halving.
        """
        x = x.astype(self.dtype)
        if self.norm == "folded":
            x = with_constant(x)
        stem = ConvNorm(STEM_FEATURES, 3, 2, norm=self.norm, dtype=self.dtype, name="scale1_stem")
        x = nn.relu6(stem(x))
        finished: list[jax.Array] = []
        for index, (size, stride, expansion, features) in enumerate(BLOCKS):
            if stride == 2:
                finished.append(x)
                if len(finished) == self.scales:
                    return tuple(finished)
            name = f"scale{len(finished) + 1}_block{index}"
            x = InvertedResidual(
                size, stride, expansion, features, self.norm, self.dtype, name=name
            )(x)
        return (*finished, x)
