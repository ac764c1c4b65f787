"""Layers that XLA runs slowly on CPUs, in forms that it runs fast there.

Whether the backend is a CPU is asked here and nowhere else among the networks. On an accelerator
the plain forms run: `nn.Conv` and a rolled scan. Both forms have the same parameters and compute
the same up to rounding; `python -m benchmarks.cpu_tricks` prints how much faster one is than the
other.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from vfseg import devices

SMALL = 3
"""Height or width, in pixels, up to which `SmallConv` is faster than `nn.Conv`."""


def on_cpu() -> bool:
    """Whether networks run on a CPU, or are made for one."""
    return devices.kind() == "cpu"


def unrolled(steps: int) -> int:
    """How many steps of a scan over convolutions the program writes out one after the other.

    All of them on a CPU, where XLA runs a convolution in the body of a loop about 20 times slower;
    one elsewhere, which compiles faster.
    """
    return steps if on_cpu() else 1


class DepthwiseConv(nn.Module):
    """One kernel a channel, as a sum of shifted products.

    The same as `nn.Conv(c, ..., feature_group_count=c)`, for which XLA on CPU has no good kernel:
    forward and backward of the layers used here are 10 to 40 times faster this way.

    Attributes:
        size: height and width of the kernel.
        stride: 1 or 2.
        padding: rows and columns of zeros on each side, or "SAME".
        use_bias: whether a bias is added.
        dtype: dtype of the result; the sum is taken in float32.
    """

    size: int
    stride: int = 1
    padding: int | str = "SAME"
    _: dataclasses.KW_ONLY
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n h w c` to `n h/stride w/stride c`, sizes rounded up."""
        c = x.shape[-1]
        shape = (self.size, self.size, 1, c)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        total = jnp.zeros((), jnp.float32)
        taps = _taps(x, self.size, self.stride, self.padding)
        for weight, tap in zip(kernel.reshape(-1, c), taps):
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
        size: height and width of the kernel.
        stride: 1 or 2.
        padding: rows and columns of zeros on each side, or "SAME".
        use_bias: whether a bias is added.
        dtype: compute dtype.
    """

    features: int
    size: int
    stride: int = 1
    padding: int | str = "SAME"
    _: dataclasses.KW_ONLY
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n h w c` to `n h/stride w/stride features`, sizes rounded up."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        taps = _taps(x.astype(self.dtype), self.size, self.stride, self.padding)
        patches = jnp.concatenate(taps, axis=-1)  # n h w (i j c)
        x = patches @ kernel.reshape(-1, self.features).astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
            x += _rank4(bias.astype(self.dtype))
        return x


def _taps(x: jax.Array, size: int, stride: int, padding: int | str) -> list[jax.Array]:
    """What each element of a kernel, row by row, sees of `n h w c`: arrays `n h' w' c`."""
    if isinstance(padding, str):
        pads = lax.padtype_to_pads(x.shape[1:3], (size, size), (stride, stride), padding)
    else:
        pads = [(padding, padding)] * 2
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    h, w = ((x.shape[axis] - size) // stride * stride + 1 for axis in (1, 2))
    return [
        x[:, row : row + h : stride, column : column + w : stride]
        for row in range(size)
        for column in range(size)
    ]


def _rank4(x: jax.Array) -> jax.Array:
    return x[None, None, None]
