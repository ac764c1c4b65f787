"""ResNet18 without its classifier.

References:
    He, Zhang, Ren, Sun, 2016, CVPR: Deep residual learning for image recognition.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models.conv_norm import ConvNorm, max_pool_3x3, with_constant

RESNET18_FEATURES = (64, 64, 128, 256, 512)
"""Channels of the published network at strides 2, 4, 8, 16, 32."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes.

    Attributes:
        features: output channels.
        stride: 1 or 2, of the first convolution.
        norm: "group" or "folded", see `vfseg.models.conv_norm`.
        dtype: compute dtype.
    """

    features: int
    stride: int
    norm: str
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n h w c` to `n h/stride w/stride features`, sizes rounded up."""

        def conv(size: int, stride: int, name: str) -> ConvNorm:
            return ConvNorm(
                self.features, size, stride, size // 2, norm=self.norm, dtype=self.dtype, name=name
            )

        y = nn.relu(conv(3, self.stride, "conv1")(x))
        y = conv(3, 1, "conv2")(y)
        if self.stride != 1 or x.shape[-1] != self.features:
            x = conv(1, self.stride, "downsample")(x)
        return nn.relu(x + y)


class ResNet18(nn.Module):
    """The trunk: a 7x7 stem, max pooling, two residual blocks a scale; zero padding as PyTorch.

    Folded, the input gets a constant channel (see `with_constant`), and the weights are those of
    an ImageNet network behind the input map of `vfseg.models.pretrained`.

    Attributes:
        features: channels at strides 2, 4, ...; up to five. Pretrained weights fit
            `RESNET18_FEATURES` and its beginnings.
        norm: "group" or "folded", see `vfseg.models.conv_norm`.
        dtype: compute dtype.
    """

    features: Sequence[int] = RESNET18_FEATURES
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
        stem = ConvNorm(
            self.features[0], 7, 2, 3, norm=self.norm, dtype=self.dtype, name="scale1_stem"
        )
        x = nn.relu(stem(x))
        scales = [x]
        for scale, features in enumerate(self.features[1:], start=2):
            if scale == 2:
                x = max_pool_3x3(x)
            for index in range(2):
                stride = 2 if scale > 2 and index == 0 else 1
                name = f"scale{scale}_block{index}"
                x = BasicBlock(features, stride, self.norm, self.dtype, name=name)(x)
            scales.append(x)
        return tuple(scales)
