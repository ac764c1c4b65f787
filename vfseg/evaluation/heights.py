"""Heights of vertebral bodies in mm, from the label map alone.

Each body gets a frame of its own: up along the spine, front away from the arch, right across. Up
starts as the direction between the neighbours' centres, so that a curved spine is followed, and is
then turned onto the bisector of the body's own two endplates. In this frame the mask is looked at
in columns of a band around the midline, where the canal parts body and arch: the body reaches as
far back as the columns stay filled. A height is the median length of the columns around 15, 50 or
85 % of the depth (anterior, middle, posterior), so that a spur or a dent does not decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from vfseg.data.box import box_between
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume

NO_LABEL_MAP = "no label map"

SITES = ("anterior", "middle", "posterior")
SITE_DEPTHS = (0.15, 0.5, 0.85)
"""Where heights are taken, as fractions of the depth from the front; the rim is rounded."""

_WINDOW = 0.07  # half-width of a site, fraction of the depth
_BAND_MM = 5.0  # half-width of the band around the midline; the canal is 15 mm wide or more
_STEP_MM = 0.5
_ACROSS_STEP_MM = 2.0
_UP_MM, _FRONT_MM, _ACROSS_MM = 28.0, 32.0, 10.0  # half-sizes of what is looked at
_WIDE_MM = 36.0
_FILLED_FRACTION = 0.4  # of the height in the middle: below it a column is no longer body
_TURNS = 3
OUTLINED_MM = 1.0
"""How far heights are off where the program outlined the body, one standard deviation: what losses
of height are off by on CTs that it never saw (4.4 % of 23 mm, root mean square), which hang on two
neighbours as well. See the card of `vfseg.segmentation`."""

_LEAST_ARM_MM = 3.0  # between the centres of body and mask; a map of bodies has no arch
_LEAST_SIZE_MM = 10.0


@dataclass(frozen=True, eq=False)
class MeasuredBody:
    """One vertebral body as measured.

    Attributes:
        level: its name.
        centre: [3] RAS+ mm, middle of the body.
        axes: [3, 3], rows are the unit vectors up, front and right in RAS+ mm.
        heights: [3] mm, at `SITES`.
        uncertainty: [3] mm, one standard deviation: voxel size along the spine, and the spread of
            the columns. What the makers of the label map disagree about is not in it.
        depth, width: mm, front to back, and side to side at mid-height.
        front: [n] mm in the frame, from back to front, where the endplates were sampled.
        top, bottom: [n] mm in the frame, median of the endplates across the band.
    """

    level: str
    centre: np.ndarray
    axes: np.ndarray
    heights: np.ndarray
    uncertainty: np.ndarray
    depth: float
    width: float
    front: np.ndarray
    top: np.ndarray
    bottom: np.ndarray

    def relative(self, points: np.ndarray) -> np.ndarray:
        """Place of [n, 3] points (RAS+ mm) in the body, [n, 3].

        Height from 0 (lower endplate) to 1 (upper), depth from 0 (back) to 1 (front), side from -1
        (left wall) to 1 (right wall); outside the body the values run on.
        """
        up, front, right = ((np.asarray(points) - self.centre) @ self.axes.T).T
        top = np.interp(front, self.front, self.top)
        bottom = np.interp(front, self.front, self.bottom)
        return np.stack(
            [(up - bottom) / (top - bottom), front / self.depth + 0.5, 2 * right / self.width], 1
        )


@dataclass(frozen=True)
class Unmeasured:
    """A body whose heights cannot be determined, and why."""

    level: str
    reason: str


class MeasuredSpine(NamedTuple):
    """A spine and its bodies.

    Attributes:
        spine: its vertebrae, cranial to caudal.
        bodies: one for each vertebra, in the same order.
    """

    spine: Spine
    bodies: Sequence[MeasuredBody | Unmeasured]


def measure_spine(spine: Spine) -> MeasuredSpine:
    """Measures the bodies of a spine; without a label map none can be measured."""
    if spine.labels is None:
        return MeasuredSpine(spine, [Unmeasured(v.level, NO_LABEL_MAP) for v in spine.vertebrae])
    bodies = measure_bodies(spine.labels, spine.vertebrae)
    if spine.outlined:
        bodies = [_less_certain(body) for body in bodies]
    return MeasuredSpine(spine, bodies)


def _less_certain(body: MeasuredBody | Unmeasured) -> MeasuredBody | Unmeasured:
    if isinstance(body, Unmeasured):
        return body
    return replace(body, uncertainty=np.hypot(body.uncertainty, OUTLINED_MM))


def measure_bodies(
    labels: Volume, vertebrae: Sequence[Vertebra]
) -> list[MeasuredBody | Unmeasured]:
    """Measures the bodies of a label map, in the order of `vertebrae` (cranial to caudal).

    Fragments and vertebrae that the border of the volume cuts are not measured.

    Args:
        labels: vertebra ids.
        vertebrae: as read from `labels`.
    """
    centres = np.array([apply_affine(labels.affine, v.centre) for v in vertebrae])
    masks = [_Mask.of(labels, vertebra) for vertebra in vertebrae]
    bodies: list[MeasuredBody | Unmeasured] = []
    for index, vertebra in enumerate(vertebrae):
        flag = next((f for f in ("fragment", "cut") if f in vertebra.flags), None)
        if flag:
            said = {"fragment": "only a fragment is labelled", "cut": "cut by the border of the CT"}
            bodies.append(Unmeasured(vertebra.level, said[flag]))
            continue
        around = range(max(index - 1, 0), min(index + 2, len(vertebrae)))
        near = [i for i in around if "fragment" not in vertebrae[i].flags]
        along = centres[near[0]] - centres[near[-1]]
        up = _unit(along) if len(near) > 1 else np.array([0.0, 0, 1])
        # One arch may be lopsided or half outside the volume; a spine turns little from one
        # vertebra to the next.
        arms = [_front(up, centres[i] - masks[i].centroid) for i in near]
        front = np.sum([_unit(arm) for arm in arms], axis=0)
        bodies.append(_measure(masks[index], vertebra.level, centres[index], _frame(up, front)))
    return bodies


def _measure(
    mask: "_Mask", level: str, centre: np.ndarray, axes: np.ndarray
) -> MeasuredBody | Unmeasured:
    for _ in range(_TURNS):
        found = _endplates(mask, centre, axes)
        if found is None:
            return Unmeasured(level, "no body found in its mask")
        front, top, bottom = found
        low, high = front[0], front[-1]
        inner = (front > low + 0.1 * (high - low)) & (front < high - 0.1 * (high - low))
        slope_front, slope_right, lift = _plane(front[inner], (top + bottom)[inner] / 2)
        left, right = _sides(mask, centre + lift * axes[0], axes, (high - low) / 4)
        if right - left < _LEAST_SIZE_MM:
            return Unmeasured(level, "no body found in its mask")
        # The plane between the endplates, and its middle, are the next frame.
        shift = np.array([lift + slope_front * (low + high) / 2, low + high, left + right])
        centre = centre + shift * (1, 0.5, 0.5) @ axes
        axes = _frame(axes[0] - slope_front * axes[1] - slope_right * axes[2], axes[1])
    found = _endplates(mask, centre, axes)
    if found is None:
        return Unmeasured(level, "no body found in its mask")
    front, top, bottom = found
    depth = float(front[-1] - front[0]) + _STEP_MM
    centre = centre + (front[0] + front[-1]) / 2 * axes[1]
    front = front - (front[0] + front[-1]) / 2
    band = np.abs(_grid(_ACROSS_MM, _ACROSS_STEP_MM)) <= _BAND_MM
    top, bottom = top[:, band], bottom[:, band]
    quantisation = float(np.abs(axes[0] @ mask.directions) @ mask.voxel_spacing) / np.sqrt(6)
    heights, uncertainty = np.zeros(3), np.zeros(3)
    for site, place in enumerate(SITE_DEPTHS):
        near = np.abs(0.5 - front / depth - place) <= _WINDOW
        columns = (top - bottom)[near]
        area = 2 * _BAND_MM * 2 * _WINDOW * depth / float(np.prod(mask.voxel_spacing) ** (2 / 3))
        spread = float(np.subtract(*np.nanpercentile(columns, (84, 16)))) / 2
        heights[site] = np.nanmedian(columns)
        uncertainty[site] = np.hypot(quantisation, spread / np.sqrt(max(area, 1)))
    return MeasuredBody(
        level=level,
        centre=centre,
        axes=axes,
        heights=heights,
        uncertainty=uncertainty,
        depth=depth,
        width=right - left,
        front=front,
        top=np.nanmedian(top, axis=1),
        bottom=np.nanmedian(bottom, axis=1),
    )


@dataclass(frozen=True, eq=False)
class _Mask:
    """The mask of one vertebra in its box, and how to look at it in mm."""

    inside: np.ndarray
    to_index: np.ndarray
    directions: np.ndarray
    voxel_spacing: np.ndarray
    centroid: np.ndarray

    @classmethod
    def of(cls, labels: Volume, vertebra: Vertebra) -> "_Mask":
        box = box_between(vertebra.start, vertebra.stop)
        inside = np.pad(labels.array[box] == vertebra.label, 1)
        start = np.eye(4)
        start[:3, 3] = np.subtract(vertebra.start, 1)
        affine = labels.affine @ start
        return cls(
            inside.view(np.uint8),
            np.linalg.inv(affine),
            affine[:3, :3] / labels.voxel_spacing,
            labels.voxel_spacing,
            apply_affine(affine, np.argwhere(inside).mean(axis=0)),
        )

    def at(
        self,
        centre: np.ndarray,
        axes: np.ndarray,
        up: np.ndarray,
        front: np.ndarray,
        right: np.ndarray,
    ) -> np.ndarray:
        """How much of the mask is at each point of a grid in a frame, [up, front, right], 0..1.

        Linear between voxels.
        """
        steps = self.to_index[:3, :3] @ axes.T
        start = apply_affine(self.to_index, centre)
        index = np.stack([
            u * up[:, None, None] + f * front[:, None] + r * right + origin
            for (u, f, r), origin in zip(steps, start)
        ])  # fmt: skip
        return ndimage.map_coordinates(self.inside, index, np.float32, order=1)


def _endplates(
    mask: _Mask, centre: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Upper and lower surface of the body, [n, across] mm, over its depth [n] mm; NaN beside it.

    None where no body is found around the centre.
    """
    up, front, across = _grid(_UP_MM), _grid(_FRONT_MM), _grid(_ACROSS_MM, _ACROSS_STEP_MM)
    coverage = mask.at(centre, axes, up, front, across)
    band = np.abs(across) <= _BAND_MM
    filled = np.median(np.sum(coverage[:, :, band] >= 0.5, axis=0), axis=1)
    middle = len(front) // 2
    body = (filled > 0) & (filled >= _FILLED_FRACTION * np.median(filled[np.abs(front) <= 5]))
    if not body[middle]:
        return None
    first = middle - int(np.argmin(np.append(body[middle::-1], False))) + 1
    stop = middle + int(np.argmin(np.append(body[middle:], False)))
    if (stop - first) * _STEP_MM < _LEAST_SIZE_MM:
        return None
    coverage = coverage[:, first:stop]
    return front[first:stop], _surface(coverage, up), -_surface(coverage[::-1], up)


def _surface(coverage: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Where the columns (axis 0) last leave the mask, mm; NaN where they never enter it.

    `up` is symmetric: the lower surface is that of the columns turned over.
    """
    inside = coverage >= 0.5
    last = len(up) - 1 - np.argmax(inside[::-1], axis=0)
    here = np.take_along_axis(coverage, last[None], 0)[0]
    beyond = np.take_along_axis(coverage, np.minimum(last + 1, len(up) - 1)[None], 0)[0]
    partial = (here - 0.5) / np.where(here > beyond, here - beyond, 1)
    return np.where(inside.any(axis=0), up[last] + _STEP_MM * partial, np.nan)


def _plane(front: np.ndarray, heights: np.ndarray) -> tuple[float, float, float]:
    """Slopes along front and right, and level at 0, of the plane through [n, across] heights."""
    f, r = np.meshgrid(front, _grid(_ACROSS_MM, _ACROSS_STEP_MM), indexing="ij")
    known = np.isfinite(heights)
    design = np.stack([f[known], r[known], np.ones(np.count_nonzero(known))], 1)
    slope_front, slope_right, lift = np.linalg.lstsq(design, heights[known], rcond=None)[0]
    return float(slope_front), float(slope_right), float(lift)


def _sides(mask: _Mask, centre: np.ndarray, axes: np.ndarray, ahead: float) -> tuple[float, float]:
    """Left and right wall at mid-height, mm, in the front half, where no pedicle joins."""
    up, front, across = np.linspace(-2, 2, 5), np.linspace(0, ahead, 5), _grid(_WIDE_MM)
    coverage = mask.at(centre, axes, up, front, across)
    inside = np.median(coverage.reshape(-1, len(across)), axis=0) >= 0.5
    if not inside.any():
        return 0.0, 0.0
    return float(across[inside].min()), float(across[inside].max())


def _front(up: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Where the front is: away from the arch, or the patient's anterior where there is no arch."""
    arm = arm - (arm @ up) * up
    return arm if np.linalg.norm(arm) >= _LEAST_ARM_MM else np.array([0.0, 1, 0])


def _frame(up: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Rows up, front, right; what of `front` runs along `up` is dropped."""
    up = _unit(up)
    front = _unit(front - (front @ up) * up)
    return np.stack([up, front, np.cross(front, up)])


def _grid(half: float, step: float = _STEP_MM) -> np.ndarray:
    """Symmetric coordinates from -half to half, mm."""
    return np.arange(-round(half / step), round(half / step) + 1) * step


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
