"""Convolution and normalisation as the ImageNet networks use them, in two forms.

`norm="group"` is for training from scratch: no bias, then GroupNorm. `norm="folded"` is for
pretrained weights: inference-mode BatchNorm is an affine map of the convolution's output, so it is
folded into kernel and bias when the weights are read. That is exact, costs nothing, and leaves no
running statistics in the training state; fine-tuning then moves the folded kernel and bias.

References:
    Ioffe & Szegedy, 2015, ICML: Batch normalization.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from vfseg.models.layers import GroupNorm

NORMS = ("group", "folded")
_SMALL = 3  # height or width, in pixels, up to which `SmallConv` is the faster one


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
        if self.depthwise:
            conv: nn.Module = DepthwiseConv(self.size, self.stride, folded, self.dtype, name="conv")
        else:
            small = min(x.shape[1:3]) <= _SMALL
            conv = (SmallConv if small else nn.Conv)(
                self.features,
                (self.size, self.size),
                self.stride,
                self.padding,
                use_bias=folded,
                dtype=self.dtype,
                name="conv",
            )
        x = conv(x)
        if folded:
            return x
        return GroupNorm(self.dtype, name="norm")(x)


class DepthwiseConv(nn.Module):
    """One kernel a channel, padding "SAME", as a sum of shifted products.

    The same as `nn.Conv(c, ..., feature_group_count=c)`, for which XLA on CPU has no good kernel:
    forward and backward of the layers used here are 10 to 40 times faster this way.

    Attributes:
        size: height and width of the kernel.
        stride: 1 or 2.
        use_bias: whether a bias is added.
        dtype: dtype of the result; the sum is taken in float32.
    """

    size: int
    stride: int = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n h w c` to `n h/stride w/stride c`, sizes rounded up."""
        c = x.shape[-1]
        shape = (self.size, self.size, 1, c)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        total = jnp.zeros((), jnp.float32)
        for weight, tap in zip(kernel.reshape(-1, c), _taps(x, shape[:2], self.stride, "SAME")):
            total += tap.astype(jnp.float32) * _rank4(weight)
        if self.use_bias:
            total += _rank4(self.param("bias", nn.initializers.zeros_init(), (c,)))
        return total.astype(self.dtype)


class SmallConv(nn.Module):
    """`nn.Conv` with the same parameters, as one matrix product over the taps of the kernel.

    For maps of a few pixels: where the kernel is wider than the map, XLA on CPU takes 80 times as
    long for its own convolution, and 10 times for the gradient of a strided one.

    Attributes:
        features: output channels.
        kernel_size: height and width of the kernel.
        strides: 1 or 2.
        padding: rows and columns of zeros on each side, or "SAME".
        use_bias: whether a bias is added.
        dtype: compute dtype.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int
    padding: int | str
    use_bias: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n h w c` to `n h/stride w/stride features`, sizes rounded up."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        taps = _taps(x.astype(self.dtype), self.kernel_size, self.strides, self.padding)
        patches = jnp.concatenate(taps, axis=-1)  # n h w (i j c)
        x = patches @ kernel.reshape(-1, self.features).astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
            x += _rank4(bias.astype(self.dtype))
        return x


def _taps(x: jax.Array, size: tuple[int, int], stride: int, padding: int | str) -> list[jax.Array]:
    """What each element of a kernel, row by row, sees of `n h w c`: arrays `n h' w' c`."""
    if isinstance(padding, str):
        pads = lax.padtype_to_pads(x.shape[1:3], size, (stride, stride), padding)
    else:
        pads = [(padding, padding)] * 2
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    h, w = ((x.shape[axis + 1] - size[axis]) // stride * stride + 1 for axis in range(2))
    return [
        x[:, row : row + h : stride, column : column + w : stride]
        for row in range(size[0])
        for column in range(size[1])
    ]


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


def _rank4(x: jax.Array) -> jax.Array:
    return x[None, None, None]
