"""The network that outlines a vertebral body: a small 3D U-Net over its surroundings.

References:
    Ronneberger et al., 2015, MICCAI: U-Net. Payer et al., 2020, VISAPP: Coarse to fine vertebrae
    localization and segmentation with SpatialConfiguration-Net and U-Net (one vertebra at a time,
    told by a heat map of its middle).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vfseg.localisation.coarse import CELL
from vfseg.localisation.network import Conv, from_cells, pool, spread, to_cells, windowed
from vfseg.segmentation.patch import POINT, SHAPE, SPACING_MM
from vfseg.training.state import initial_params

NEAR_MM = 10.0
"""SD of the heat map that says which of the bodies in view is meant."""


class Segmenter(nn.Module):
    """Outline of the body that lies at `POINT` of a patch.

    Attributes:
        features: channels at 2.5, 5 and 10 mm.
    """

    features: tuple[int, int, int] = (24, 48, 96)

    @nn.compact
    def __call__(self, hu: jax.Array) -> jax.Array:
        """Maps HU `n d h w` of patches to logits `n d h w`."""
        fine, middle, coarse = self.features
        meant = jnp.broadcast_to(_meant(), hu.shape)[..., None]
        x = a = Conv(fine)(to_cells(jnp.concatenate([windowed(hu), meant], -1)))
        x = b = Conv(middle)(Conv(middle)(pool(x)))
        x = pool(x)
        for _ in range(3):
            x = Conv(coarse)(x)
        x = Conv(middle)(jnp.concatenate([spread(nn.Dense(middle)(x)), b], -1))
        x = Conv(fine)(Conv(fine)(jnp.concatenate([spread(nn.Dense(fine)(x)), a], -1)))
        return from_cells(nn.Dense(CELL**3)(x))[..., 0]


def _meant() -> np.ndarray:
    axes = np.meshgrid(*map(np.arange, SHAPE), indexing="ij", sparse=True)
    away = SPACING_MM**2 * sum((axis - at) ** 2 for axis, at in zip(axes, POINT))
    return np.exp(-0.5 * np.asarray(away, np.float32) / NEAR_MM**2)


def first_params(seed: int) -> Any:
    """Parameters before training."""
    return initial_params(Segmenter(), seed, jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32))
