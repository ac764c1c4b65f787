"""The map of a case on the grid of its CT, a few slices at a time, computed on the device.

Totals and weights are interpolated apart (as `sample_linear` does) and divided afterwards, so that
the edge of a crop does not fade; a voxel belongs to the crops where the nearest case-grid voxel
does. Sizes are rounded up to whole blocks, so that CTs of a size share a program.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vfseg.data.resample import Bands, linear_bands, nearest_index
from vfseg.inference.fusion import Fused, FusionRule

SLICES = 32
"""Along d that are computed together."""
_BLOCK = 64
COVERED, NEAR = 1, 2
"""Bits of a voxel of the case grid: a crop covers it, the map counts there."""


class Axis(NamedTuple):
    """How the output voxels of one axis look at the case grid.

    Attributes:
        bands: for linear interpolation.
        nearest: int32, index of the nearest voxel; that of the first one where there is none.
        inside: bool, whether there is one.
    """

    bands: Bands
    nearest: np.ndarray
    inside: np.ndarray


def axis_of(origin: float, step: float, count: int, size: int, block: int = _BLOCK) -> Axis:
    """How `count` output voxels look at an axis of `size` voxels; see `linear_bands`."""
    bands = linear_bands(origin, step, count, size, block)
    index = nearest_index(origin, step, bands.first.size * block)
    inside = (index >= 0) & (index < size) & (np.arange(index.size) < count)
    return Axis(bands, np.where(inside, index, 0).astype(np.int32), inside)


@partial(jax.jit, static_argnames="rule")
def onto_ct(
    fused: Fused,
    bits: Array,
    spread: Array | None,
    axes: tuple[Axis, Axis, Axis],
    *,
    rule: FusionRule,
) -> tuple[Array, Array, Array | None]:
    """Probability float32, region bool and spread float32 (or None) of some output voxels `d h w`.

    Args:
        fused: two numbers a voxel of the case grid.
        bits: uint8, `COVERED` and `NEAR` of each.
        spread: of each; None where there was one view.
        axes: d, h and w.
        rule: of the fusion.
    """
    found = bits
    for number, axis in enumerate(axes):
        found = jnp.take(found, axis.nearest, number)
        found = jnp.where(jnp.expand_dims(axis.inside, _others(number)), found, 0)
    region, shown = (found & COVERED) > 0, found == COVERED | NEAR
    weight = _linear(fused.weight, axes)
    ratio = _linear(fused.total, axes) / jnp.maximum(weight, 1e-6)
    probability = jnp.where(shown, rule.link(ratio), 0)
    if spread is None:
        return probability, region, None
    covered = jnp.maximum(_linear((fused.weight > 0).astype(jnp.float32), axes), 1e-6)
    ratio = _linear(spread, axes) / covered
    return probability, region, jnp.where(shown, jnp.clip(ratio, 0, 0.5), 0)


def _others(axis: int) -> tuple[int, ...]:
    return tuple({0, 1, 2} - {axis})


def _linear(field: Array, axes: tuple[Axis, Axis, Axis]) -> Array:
    """The field at the output voxels, one axis after the other."""
    for number, axis in enumerate(axes):
        first, weights = axis.bands
        window = partial(lax.dynamic_slice_in_dim, field, slice_size=weights.shape[2], axis=number)
        windows = jax.vmap(window, out_axes=number)(first)  # axis -> blocks, voxels of a window
        within = "dhw"[number]
        taken = "dhw".replace(within, f"b{within}")
        given = "dhw".replace(within, "bo")
        blocks = jnp.einsum(
            f"bo{within},{taken}->{given}", weights, windows, precision=lax.Precision.HIGHEST
        )
        field = blocks.reshape(*field.shape[:number], -1, *field.shape[number + 1 :])
    return field
