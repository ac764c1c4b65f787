"""The network of the localiser: a small 3D U-Net over a whole CT on a coarse grid.

References:
    Ronneberger et al., 2015, MICCAI: U-Net. Payer et al., 2020, VISAPP: Coarse to fine vertebrae
    localization and segmentation with SpatialConfiguration-Net and U-Net (heat maps of bodies).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from vfseg.localisation.coarse import CELL
from vfseg.localisation.levels import CLASSES
from vfseg.models.layers import larger
from vfseg.training.state import initial_params

DEEPEST = 4
"""Cells of a position at the bottom of the U along each axis; sizes are multiples of it."""

RARE = 4.0
"""Middles of bodies are rare: the logit of a voxel of which nothing is known is minus this."""


class Seen(NamedTuple):
    """What the network says.

    Attributes:
        heat: logits `n d h w` of "the middle of a vertebral body is here".
        level: logits `n d/2 h/2 w/2 classes` of the level that a cell belongs to.
    """

    heat: jax.Array
    level: jax.Array


class Conv(nn.Module):
    """3x3x3 convolution, norm over the channels of each position, ReLU.

    The three planes of a kernel are one kernel over three times the channels: on CPUs XLA runs a 3D
    convolution thirty times slower than the 2D one that this makes of it. A norm over positions
    would make what is seen here hang on how much air is in view.

    Attributes:
        features: output channels.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `n d h w c` to `n d h w features`."""
        n, d, h, w, c = x.shape
        shape = (3, 3, 3 * c, self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
        planes = jnp.concatenate([padded[:, k : k + d] for k in range(3)], -1)
        x = lax.conv_general_dilated(
            planes.reshape(n * d, h, w, 3 * c), kernel, (1, 1), "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        x = nn.LayerNorm()(x.reshape(n, d, h, w, self.features))
        return nn.relu(x)


class Localiser(nn.Module):
    """Heat map of vertebral bodies and the level of each place.

    Attributes:
        features: channels at 8, 16 and 32 mm.
    """

    features: tuple[int, int, int] = (32, 64, 128)

    @nn.compact
    def __call__(self, x: jax.Array) -> Seen:
        """Maps `n d h w 2` (see `windowed`) to what is seen; sizes are multiples of 8."""
        fine, middle, coarse = self.features
        x = a = Conv(fine)(to_cells(x))
        x = pool(x)
        x = Conv(middle)(x)
        x = b = Conv(middle)(x)
        x = pool(x)
        for _ in range(3):
            x = Conv(coarse)(x)
        x = Conv(middle)(jnp.concatenate([spread(nn.Dense(middle)(x)), b], -1))
        x = Conv(fine)(jnp.concatenate([spread(nn.Dense(fine)(x)), a], -1))
        heat = nn.Dense(CELL**3)(x) - RARE
        return Seen(from_cells(heat)[..., 0], nn.Dense(CLASSES)(x))


def first_params(seed: int) -> Any:
    """Parameters before training."""
    return initial_params(Localiser(), seed, jax.ShapeDtypeStruct((1, 8, 8, 8, 2), jnp.float32))


def windowed(hu: jax.Array) -> jax.Array:
    """HU `...` as two channels `... 2`: soft tissue and bone, and everything."""
    soft = (jnp.clip(hu, -250, 650) + 250) / 450 - 1
    wide = (jnp.clip(hu, -1024, 1500) + 1024) / 1262 - 1
    return jnp.stack([soft, wide], -1)


def to_cells(x: jax.Array) -> jax.Array:
    """The voxels of each cell as its channels: `n 2d 2h 2w c` -> `n d h w 8c`."""
    n, d, h, w, c = x.shape
    x = x.reshape(n, d // CELL, CELL, h // CELL, CELL, w // CELL, CELL, c)
    return x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(n, d // CELL, h // CELL, w // CELL, -1)


def from_cells(x: jax.Array) -> jax.Array:
    """The inverse of `to_cells`: `n d h w 8c` -> `n 2d 2h 2w c`."""
    n, d, h, w, c = x.shape
    x = x.reshape(n, d, h, w, CELL, CELL, CELL, c // CELL**3)
    return x.transpose(0, 1, 4, 2, 5, 3, 6, 7).reshape(n, CELL * d, CELL * h, CELL * w, -1)


def pool(x: jax.Array) -> jax.Array:
    """Largest of each 2x2x2 positions."""
    for axis in (1, 2, 3):
        size = x.shape
        pairs = x.reshape(*size[:axis], size[axis] // 2, 2, *size[axis + 1 :])
        x = larger(pairs.take(0, axis + 1), pairs.take(1, axis + 1))
    return x


def spread(x: jax.Array) -> jax.Array:
    """Twice as many positions along each axis, by repetition."""
    n, d, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :, None], (n, d, 2, h, 2, w, 2, c))
    return x.reshape(n, 2 * d, 2 * h, 2 * w, c)
