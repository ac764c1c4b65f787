"""The small blocks that encoder, decoder and discriminator share."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

_EPSILON = 1e-6  # as in flax


def group_count(features: int) -> int:
    """Number of GroupNorm groups: 8, or fewer where 8 does not divide `features`.

    >>> group_count(32), group_count(12)
    (8, 4)
    """
    return next(groups for groups in (8, 4, 2, 1) if features % groups == 0)


class GroupNorm(nn.Module):
    """`nn.GroupNorm` with the same parameters, as one multiplication and one addition a pixel.

    Each channel is summed up first, then the sums of a group; mean and variance join scale and bias
    in one affine map. flax spreads the channels over a fifth axis instead: a step of training
    takes an eighth more time that way on CPU.

    Attributes:
        dtype: dtype of the result; the statistics are taken in float32.

    Reference:
        Wu & He, 2018, ECCV: Group normalization.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises `n h w c` over each group of channels (see `group_count`) of each slice."""
        n, h, w, c = x.shape
        groups = group_count(c)
        scale = self.param("scale", nn.initializers.ones_init(), (c,))
        bias = self.param("bias", nn.initializers.zeros_init(), (c,))
        x = x.astype(jnp.float32)

        def of_groups(sums: jax.Array) -> jax.Array:
            mean = jnp.mean(sums.reshape(n, groups, -1), axis=-1, keepdims=True) / (h * w)
            return jnp.broadcast_to(mean, (n, groups, c // groups)).reshape(n, c)

        mean = of_groups(jnp.sum(x, axis=(1, 2)))
        square = of_groups(jnp.sum(x * x, axis=(1, 2)))
        deviation = lax.rsqrt(jnp.maximum(square - mean * mean, 0) + _EPSILON)
        times = deviation * scale[None]
        plus = bias[None] - mean * times
        return (x * times[:, None, None] + plus[:, None, None]).astype(self.dtype)


class ConvNormRelu(nn.Module):
    """3x3 convolution, GroupNorm, ReLU.

    The convolution has no bias: a bias before a norm has zero gradient, and Adam would amplify
    its rounding noise until devices disagree. GroupNorm behaves alike in training and inference
    and at every batch size (Wu & He, 2018, ECCV); its statistics are taken in float32.

    Attributes:
        features: output channels.
        dtype: compute dtype; parameters stay float32.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, side: jax.Array | None = None) -> jax.Array:
        """Maps `n h w c` to `n h w features`.

        Args:
            x: input.
            side: a second input `n h w c'`, convolved by a kernel of its own and added before the
                norm: the same as joining the channels, but a network can do without it, and gain it
                later. Its kernel starts at 0 (see `initial_params`), so that gaining it changes
                nothing at first.
        """
        x = nn.Conv(self.features, (3, 3), use_bias=False, dtype=self.dtype)(x)
        if side is not None:
            conv = nn.Conv(self.features, (3, 3), use_bias=False, dtype=self.dtype, name="side")
            x += conv(side)
        x = GroupNorm(self.dtype)(x)
        return nn.relu(x)


class DoubleConv(nn.Module):
    """Two `ConvNormRelu` blocks: the unit of every U-Net scale (Ronneberger et al., 2015)."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, side: jax.Array | None = None) -> jax.Array:
        """Maps `n h w c`, and a side input `n h w c'` if there is one, to `n h w features`."""
        x = ConvNormRelu(self.features, self.dtype)(x, side)
        return ConvNormRelu(self.features, self.dtype)(x)


def max_pool2(x: jax.Array) -> jax.Array:
    """Maximum over 2x2 pixels: `n 2h 2w c` -> `n h w c`.

    Rows first, then columns: the gradient of `nn.max_pool` takes five times as long on CPU. Where
    inputs tie, they share the gradient.

    >>> max_pool2(jnp.arange(8.0).reshape(1, 2, 4, 1))[0, :, :, 0].tolist()
    [[5.0, 7.0]]
    """
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c)
    x = larger(x[:, :, 0], x[:, :, 1])
    return larger(x[:, :, :, 0], x[:, :, :, 1])


@jax.custom_jvp
def larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """`jnp.maximum`, whose own gradient goes where an input equals the maximum.

    XLA may compute an input once for the maximum and again for that question. Where the two differ
    by rounding, neither input equals it, and the gradient is lost. Here the inputs are compared
    with each other.
    """
    return jnp.maximum(a, b)


@larger.defjvp
def _larger_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (a, b), (da, db) = primals, tangents
    share = jnp.where(a == b, 0.5, a > b).astype(a.dtype)
    return jnp.maximum(a, b), share * da + (1 - share) * db


def upsample2(x: jax.Array) -> jax.Array:
    """Doubles height and width by repetition: `n h w c` -> `n 2h 2w c`.

    >>> upsample2(jnp.arange(2.0).reshape(1, 1, 2, 1))[0, :, :, 0].tolist()
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    n, h, w, c = x.shape
    # n h w c -> n h 1 w 1 c -> n h 2 w 2 c
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (n, h, 2, w, 2, c))
    return x.reshape(n, 2 * h, 2 * w, c)
