"""From the predictions of the crops of a case to its fused map, and back onto the CT's grid."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from vfseg.data.box import Box, box_between, intersection, is_empty, shape_of, start_of, within
from vfseg.data.geometry import Geometry
from vfseg.data.spine import Spine
from vfseg.inference.fusion import RULES, Fused
from vfseg.inference.kernel import fuse_crops
from vfseg.inference.near_vertebrae import near_vertebrae
from vfseg.inference.onto_ct import COVERED, NEAR, SLICES, axis_of, onto_ct


class Slab(NamedTuple):
    """A part of the map on the grid of the CT.

    Attributes:
        probability: fused, float32 in 0..1; 0 outside every crop.
        region: bool, the union of the crops.
        spread: standard deviation of the predictions of a voxel, float32 in 0..0.5; 0 outside every
            crop. None where the case was predicted from one view.
    """

    probability: np.ndarray
    region: np.ndarray
    spread: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class CaseMap:
    """Fused predictions on the case grid, on the device.

    Attributes:
        origin: case-grid index of the first voxel.
        extent: of the box that holds all crops; the arrays may be larger, and are empty there.
        fused: two numbers a voxel, `d h w`; weight 0 outside every crop.
        fusion: name of the rule that made them.
        spread: standard deviation of all predictions of a voxel over views and crops, float32
            `d h w`; None where there was one view.
        voxel_spacing: of the case grid, mm.
        near: bool `d h w` of the extent, see `near_vertebrae`: elsewhere the map is 0, though a
            crop shows it; None where it counts everywhere.
    """

    origin: tuple[int, int, int]
    extent: tuple[int, int, int]
    fused: Fused
    fusion: str
    spread: Array | None
    voxel_spacing: float
    near: np.ndarray | None = None

    def part_on_ct(self, geometry: Geometry, part: Box) -> Slab:
        """A part of the map on the CT's own grid, see `onto_ct`; some slices of it at a time.

        Args:
            geometry: of the CT.
            part: of the CT's grid `d h w`, with starts and stops.
        """
        shape = shape_of(part)
        probability, region = np.zeros(shape, np.float32), np.zeros(shape, bool)
        spread = None if self.spread is None else np.zeros(shape, np.float32)
        reached = intersection(part, self.box(geometry))
        if is_empty(reached):
            return Slab(probability, region, spread)
        step = geometry.voxel_spacing / self.voxel_spacing
        at, sizes = np.array(start_of(reached)) * step - self.origin, self.fused.total.shape
        d, h, w = shape_of(reached)
        of_h, of_w = (axis_of(at[a], step[a], n, sizes[a]) for a, n in ((1, h), (2, w)))
        slabs = [x[within(reached, part)] for x in (probability, region)]
        slabs += [] if spread is None else [spread[within(reached, part)]]
        for first in range(0, d, SLICES):
            count = min(SLICES, d - first)
            of_d = axis_of(at[0] + step[0] * first, step[0], count, sizes[0], SLICES)
            axes, rule = (of_d, of_h, of_w), RULES[self.fusion]
            parts = onto_ct(self.fused, self._bits, self.spread, axes, rule=rule)
            for slab, computed in zip(slabs, parts):
                slab[first : first + count] = np.asarray(computed)[:count, :h, :w]
        return Slab(probability, region, spread)

    @functools.cached_property
    def _bits(self) -> Array:
        near = np.ones(self.extent, bool) if self.near is None else self.near
        room = [(0, size - n) for size, n in zip(self.fused.total.shape, self.extent)]
        covered = (jnp.asarray(self.fused.weight) > 0).astype(jnp.uint8) * COVERED
        return covered | jnp.asarray(np.pad(near.astype(np.uint8) * NEAR, room))

    def near_vertebrae(self, spine: Spine, geometry: Geometry) -> "CaseMap":
        """The map that is 0 away from all vertebrae, see `near_vertebrae`."""
        place = self.origin, self.extent, self.voxel_spacing
        return dataclasses.replace(self, near=near_vertebrae(spine, geometry, *place))

    def box(self, geometry: Geometry) -> Box:
        """CT voxels within reach of the map."""
        step = geometry.voxel_spacing / self.voxel_spacing
        origin, extent = np.asarray(self.origin), np.asarray(self.extent)
        first = np.clip(np.floor((origin - 1) / step), 0, geometry.shape).astype(int)
        last = np.clip(np.ceil((origin + extent) / step) + 1, first + 1, None).astype(int)
        last = np.minimum(last, geometry.shape)
        first = np.minimum(first, last - 1)
        return box_between(first, last)


def fuse_case(
    predictions: Iterable[np.ndarray | Array],
    starts: Sequence[tuple[int, int, int]],
    *,
    spread: bool,
    fusion: str,
    slice_threshold: float,
    voxel_spacing: float,
) -> CaseMap:
    """Fuses all predictions of all crops of a case, see `fuse_crops`.

    Args:
        predictions: of each crop, `v d h w`, as of `Predictor.stream`; taken one by one.
        starts: first voxel of each crop in the case grid.
        spread: whether it is asked for; of several predictions there is one.
        fusion: one of `FUSIONS`.
        slice_threshold: probability from which a slice prediction votes.
        voxel_spacing: of the case grid, mm.
    """
    joined = fuse_crops(
        predictions,
        starts,
        fusion=fusion,
        slice_threshold=slice_threshold,
        spread=spread,
    )
    return CaseMap(
        *(joined.origin, joined.extent, joined.fused, fusion, joined.spread, voxel_spacing)
    )
