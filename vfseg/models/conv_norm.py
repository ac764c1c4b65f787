"""Convolution and normalisation as the ImageNet networks use them, in two forms.

`norm="group"` is for training from scratch: no bias, then GroupNorm. `norm="folded"` is for
pretrained weights: inference-mode BatchNorm is an affine map of the convolution's output, so it is
folded into kernel and bias when the weights are read. That is exact, costs nothing, and leaves no
running statistics in the training state; fine-tuning then moves the folded kernel and bias.

References:
    Ioffe & Szegedy, 2015, ICML: Batch normalization.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from vfseg.models import cpu_forms
from vfseg.models.layers import GroupNorm

NORMS = ("group", "folded")


class ConvNorm(nn.Module):
    """Square convolution and norm, without activation.

    Attributes:
        features: output channels; as many as the input has if `depthwise`.
        size: height and width of the kernel.
        stride: 1 or 2.
        padding: rows and columns of zeros on each side (PyTorch), or "SAME": as TensorFlow, where a
            stride of 2 on an even size pads one more at the end than at the start.
        depthwise: each channel has a kernel of its own; "SAME" only.
        norm: "group" or "folded", see the module.
        dtype: compute dtype; parameters stay float32.
    """

    features: int
    size: int
    stride: int = 1
    padding: int | str = "SAME"
    _: dataclasses.KW_ONLY
    depthwise: bool = False
    norm: str = "group"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n h w c` to `n h/stride w/stride features`, sizes rounded up.

        Raises:
            ValueError: the norm is unknown.
        """
        if self.norm not in NORMS:
            raise ValueError(f"no norm {self.norm!r}; there is {' and '.join(NORMS)}")
        folded = self.norm == "folded"
        common: dict[str, Any] = {"use_bias": folded, "dtype": self.dtype, "name": "conv"}
        where = self.stride, self.padding
        conv: nn.Module
        if self.depthwise and cpu_forms.on_cpu():
            conv = cpu_forms.DepthwiseConv(self.size, *where, **common)
        elif min(x.shape[1:3]) <= cpu_forms.SMALL and cpu_forms.on_cpu():
            conv = cpu_forms.SmallConv(self.features, self.size, *where, **common)
        else:
            groups = self.features if self.depthwise else 1
            size = (self.size, self.size)
            conv = nn.Conv(self.features, size, *where, feature_group_count=groups, **common)
        x = conv(x)
        if folded:
            return x
        return GroupNorm(self.dtype, name="norm")(x)


def max_pool_3x3(x: jax.Array) -> jax.Array:
    """Maximum over 3x3 pixels at stride 2, one pixel of padding: `n h w c` -> `n h/2 w/2 c`.

    Sizes are rounded up. Separated and written as a maximum of shifted slices: the gradient of
    `nn.max_pool` takes nine times as long on CPU. Where several inputs tie, they share the
    gradient.

    >>> max_pool_3x3(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    for axis in (1, 2):
        count = -(-x.shape[axis] // 2)
        pads = [(0, 0)] * 4
        pads[axis] = (1, 1)
        padded = jnp.pad(x, pads, constant_values=-jnp.inf)
        parts = [
            lax.slice_in_dim(padded, first, first + 2 * count - 1, 2, axis) for first in range(3)
        ]
        x = jnp.maximum(jnp.maximum(parts[0], parts[1]), parts[2])
    return x


def with_constant(x: jax.Array) -> jax.Array:
    """Appends a channel of ones: `n h w c` -> `n h w c+1`.

    In a folded stem it carries the offset of the input normalisation. The networks normalise
    first and pad with zeros afterwards; a bias instead of this channel would be wrong in the
    border, where the kernel hangs over the padding.
    """
    return jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
