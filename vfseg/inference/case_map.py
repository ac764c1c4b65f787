"""From the predictions of the crops of a case to its fused map, and back onto the CT's grid."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vfseg.data.box import Box, box_between, intersection, is_empty, shape_of, start_of, within
from vfseg.data.geometry import Geometry
from vfseg.data.resample import sample_linear, sample_nearest
from vfseg.data.spine import Spine
from vfseg.inference.fusion import RULES, Fused, bounds, canonical, fuse_boxes, join
from vfseg.inference.near_vertebrae import near_vertebrae
from vfseg.inference.overlap import fuse_slices
from vfseg.inference.views import Views


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
    """Fused predictions on the case grid.

    Attributes:
        origin: case-grid index of the first voxel.
        fused: two numbers a voxel, `d h w`; weight 0 outside every crop.
        fusion: name of the rule that made them.
        spread: standard deviation of all predictions of a voxel over views and crops, float32
            `d h w`; None where there was one view.
        voxel_spacing: of the case grid, mm.
        near: bool `d h w`, see `near_vertebrae`: elsewhere the map is 0, though a crop shows it;
            None where it counts everywhere.
    """

    origin: tuple[int, int, int]
    fused: Fused
    fusion: str
    spread: np.ndarray | None
    voxel_spacing: float
    near: np.ndarray | None = None

    def part_on_ct(self, geometry: Geometry, part: Box) -> Slab:
        """A part of the map on the CT's own grid.

        Totals and weights are interpolated apart and divided afterwards, so that the edge of a
        crop does not fade; a voxel belongs to the crops where the nearest case-grid voxel does.

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
        at = np.array(start_of(reached)) * step - np.asarray(self.origin), step, shape_of(reached)
        place = within(reached, part)
        inside = sample_nearest(self._covered, *at).astype(bool)
        weight = sample_linear(self.fused.weight, *at, fill=0.0)
        ratio = sample_linear(self.fused.total, *at, fill=0.0) / np.maximum(weight, 1e-6)
        region[place] = inside
        if self.near is not None:
            inside &= sample_nearest(self.near, *at)
        probability[place] = np.where(inside, RULES[self.fusion].link(ratio), 0)
        if spread is not None:
            covered = np.maximum(sample_linear(self._covered, *at, fill=0.0), 1e-6)
            ratio = sample_linear(self.spread, *at, fill=0.0) / covered
            spread[place] = np.where(inside, np.clip(ratio, 0, 0.5), 0)
        return Slab(probability, region, spread)

    @functools.cached_property
    def _covered(self) -> np.ndarray:
        return (self.fused.weight > 0).astype(np.uint8)

    def near_vertebrae(self, spine: Spine, geometry: Geometry) -> "CaseMap":
        """The map that is 0 away from all vertebrae, see `near_vertebrae`."""
        place = self.origin, self.fused.weight.shape, self.voxel_spacing
        return dataclasses.replace(self, near=near_vertebrae(spine, geometry, *place))

    def box(self, geometry: Geometry) -> Box:
        """CT voxels within reach of the map."""
        step = geometry.voxel_spacing / self.voxel_spacing
        origin, shape = np.asarray(self.origin), np.asarray(self.fused.weight.shape)
        first = np.clip(np.floor((origin - 1) / step), 0, geometry.shape).astype(int)
        last = np.clip(np.ceil((origin + shape) / step) + 1, first + 1, None).astype(int)
        last = np.minimum(last, geometry.shape)
        first = np.minimum(first, last - 1)
        return box_between(first, last)


def crop_region(
    starts: Sequence[tuple[int, int, int]],
    crop_shape: tuple[int, int, int],
    voxel_spacing: float,
    geometry: Geometry,
    box: Box,
) -> np.ndarray:
    """The voxels in a box of a CT that lie in crops, bool `d h w`: the `region` of a `Slab`.

    Args:
        starts: first voxel of each crop in the case grid.
        crop_shape: of each, (d, h, w).
        voxel_spacing: of the case grid, mm.
        geometry: of the CT.
        box: of the CT's grid.
    """
    origin, extent = bounds(starts, crop_shape)
    weight = np.zeros(extent, np.uint8)
    for start in starts:
        weight[tuple(slice(a - o, a - o + n) for a, o, n in zip(start, origin, crop_shape))] = 1
    shown = CaseMap(origin, Fused(weight, weight), "mean", None, voxel_spacing)
    return shown.part_on_ct(geometry, box).region


def fuse_case(
    predictions: Iterable[np.ndarray],
    starts: Sequence[tuple[int, int, int]],
    *,
    views: Views,
    fusion: str,
    slice_threshold: float,
    voxel_spacing: float,
) -> CaseMap:
    """Fuses the slices of each crop over all views, then the overlapping crops of the case.

    Args:
        predictions: of each crop, `v d h w`, as from `Predictor.stream`; taken one by one.
        starts: first voxel of each crop in the case grid.
        views: those of the predictions.
        fusion: one of `FUSIONS`.
        slice_threshold: probability from which a slice prediction votes.
        voxel_spacing: of the case grid, mm.
    """
    crops, moments = [], []
    for answers in predictions:
        crops.append(_fuse_crop(answers, views, fusion, slice_threshold))
        if len(views) > 1:
            moments.append(_Moments.of(answers))
    origin, fused = fuse_boxes(crops, starts, RULES[fusion])
    spread = _spread(moments, starts) if moments else None
    return CaseMap(origin, fused, fusion, spread, voxel_spacing)


def _fuse_crop(answers: np.ndarray, views: Views, fusion: str, slice_threshold: float) -> Fused:
    """State of a crop from its views, `v d h w`."""
    rule, states = RULES[fusion], []
    for view, answer in zip(views, answers, strict=True):
        slices = jnp.moveaxis(answer, view.axis, 0)[:, None]  # n 1 a b
        number = slices.shape[0]
        state = fuse_slices(slices, np.arange(number), number, rule=rule, threshold=slice_threshold)
        states.append(Fused(*(jnp.moveaxis(part, 0, view.axis) for part in state)))
    return jax.tree.map(np.asarray, join(rule, states))


class _Moments(NamedTuple):
    """Mean and sum of squared deviations of some predictions of the voxels of a crop."""

    mean: np.ndarray
    squares: np.ndarray
    number: int

    @classmethod
    def of(cls, answers: np.ndarray) -> "_Moments":
        mean = answers.mean(axis=0)
        return cls(mean, np.square(answers - mean).sum(axis=0), len(answers))


def _spread(moments: Sequence[_Moments], starts: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Standard deviation of all predictions of a voxel, crops joined in canonical order.

    The pairwise update takes no difference of large sums, so equal predictions have spread 0.

    References:
        Chan, Golub and LeVeque (1983), The American Statistician: Algorithms for computing the
        sample variance.
    """
    shape = moments[0].mean.shape
    origin, extent = bounds(starts, shape)
    mean, squares = np.zeros(extent, np.float32), np.zeros(extent, np.float32)
    count = np.zeros(extent, np.float32)
    for index in canonical(starts):
        place = tuple(slice(a - o, a - o + n) for a, o, n in zip(starts[index], origin, shape))
        new, before = moments[index], count[place]
        together = before + new.number
        away = new.mean - mean[place]
        mean[place] += away * (new.number / together)
        squares[place] += new.squares + away * away * (before * new.number / together)
        count[place] = together
    return np.sqrt(squares / np.maximum(count, 1))
