"""The body of one vertebra in a real label map: its frame, its endplates, its heights."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vfseg.data.box import Box, grown, start_of
from vfseg.data.levels import Vertebra
from vfseg.data.volume import Volume
from vfseg.errors import UserError
from vfseg.synthesis.phantom.fractures import SITES
from vfseg.synthesis.phantom.shapes import Frame, Grid
from vfseg.synthesis.phantom.spine import Size, usual_size

STEP_MM = 1.0
"""Spacing of the grids in a vertebra's frame."""

SEEN_MM = 14.0
"""How far beyond the endplates neighbours are looked for."""

_TALLEST_MM = 40.0
_CORE_MM = 8.0
_RIM_MM = 6.0  # how far the rim of an endplate may lie from its plane
_AROUND_MM = 26.0
_SMOOTH_MM = 1.5
_STRIP = 0.3  # half width of the strip in which heights are measured, fraction of half the width


@dataclass(frozen=True, eq=False)
class BodyMap:
    """A vertebral body as a label map has it. In its frame, mm: up, front, right from its middle.

    Attributes:
        frame: in millimetres from voxel (0, 0, 0) along d, h, w.
        depth, width: front to back (posterior wall), side to side.
        front, right: coordinates of the columns `f r` of the maps below.
        top, bottom: [f, r] heights of the endplates, continued smoothly beyond the body.
        outline: [f, r] bool, columns of the body.
    """

    frame: Frame
    depth: float
    width: float
    front: np.ndarray
    right: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    outline: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """[f, r] distance of a column to the body, mm."""
        return STEP_MM * ndimage.distance_transform_edt(~self.outline)

    def at_sites(self, columns: np.ndarray) -> np.ndarray:
        """Means of a map `f r` at the front, the middle and the back (`SITES`), [3]."""
        strip = np.abs(self.right) <= _STRIP * self.width / 2
        means = []
        for site in SITES.values():
            near = np.abs(self.front - site * self.depth / 2) <= 0.1 * self.depth
            patch = self.outline & near[:, None] & strip[None, :]
            if not patch.any():
                raise UserError("the body has no bone at its front, middle or back")
            means.append(float(columns[patch].mean()))
        return np.array(means)

    def heights(self) -> np.ndarray:
        """Anterior, middle and posterior height in mm, [3]."""
        return self.at_sites(self.top - self.bottom)


def size_of(level: str, body: BodyMap) -> Size:
    """Size of a measured body; the canal, and what else a label map does not say, as usual.

    Raises:
        UserError: it has no bone at its front, middle or back.
    """
    front, middle, back = body.heights()
    height = (front + back) / 2
    return replace(
        usual_size(level),
        height=float(height),
        depth=body.depth,
        width=body.width,
        wedge=float(np.degrees(np.arctan2(back - front, 0.7 * body.depth))),
        concavity=(max(float(height - middle), 0.0) / 2,) * 2,
    )


def voxel_grid(volume: Volume) -> Grid:
    """The voxels of a volume in millimetres from voxel (0, 0, 0) along d, h, w."""
    return Grid(volume.shape, volume.voxel_spacing, np.zeros(3))


def along(start: float, stop: float) -> np.ndarray:
    """Multiples of `STEP_MM` from `start` to `stop`, mm."""
    return STEP_MM * np.arange(np.floor(start / STEP_MM), np.ceil(stop / STEP_MM) + 1)


def sample(
    array: np.ndarray, spacing: np.ndarray, frame: Frame, axes: tuple[np.ndarray, ...], order: int
) -> np.ndarray:
    """Values of `array` (`d h w`) on a grid of a frame, `u f r`; 0 outside the array.

    Args:
        array: starts at voxel (0, 0, 0) of the frame's millimetres.
        spacing: [3] mm.
        frame: see `BodyMap`.
        axes: coordinates up, front and right of the grid, mm.
        order: of the spline; 0 is nearest.
    """
    places = [
        sum(
            np.expand_dims(values, [a for a in range(3) if a != i]) * frame.axes[i, k]
            for i, values in enumerate(axes)
        )
        + frame.centre[k]
        for k in range(3)
    ]
    index = [place / step for place, step in zip(places, spacing)]
    return ndimage.map_coordinates(array, index, order=order, mode="constant", cval=0)


def measure_body(labels: Volume, vertebra: Vertebra, above: Vertebra | None,
                 below: Vertebra | None) -> BodyMap:  # fmt: skip
    """Finds the body of a vertebra in a label map of whole vertebrae.

    The axis starts along the line of the neighbours' centres and is turned to the mean normal of
    the two endplates; the front is where the body lies from the middle of the whole vertebra; the
    posterior wall is where the bone ends towards the canal in the midline.

    Raises:
        UserError: no body of plausible size is found.
    """
    spacing = labels.voxel_spacing
    box = grown(vertebra.box, np.ceil(2 / spacing).astype(int) + 1, labels.shape)
    mask = (labels.array[box] == vertebra.label).astype(np.float32)
    origin = np.array(start_of(box)) * spacing

    centre = vertebra.centre * spacing - origin
    upper = (above or vertebra).centre * spacing
    up = _unit(upper - (below or vertebra).centre * spacing) if above or below else np.eye(3)[0]
    middle = np.array(ndimage.center_of_mass(mask)) * spacing
    frame = _frame(centre, up, centre - middle)
    u = along(-_TALLEST_MM, _TALLEST_MM)
    core = along(-_CORE_MM, _CORE_MM)
    for _ in range(3):
        bone = sample(mask, spacing, frame, (u, core, core), 1)
        top, bottom = _first_crossing(bone, u, 1), _first_crossing(bone, u, -1)
        planes = [_plane(core, core, surface) for surface in (top, bottom)]
        tilt = (planes[0][1:] + planes[1][1:]) / 2
        up = _unit(np.array([1, -tilt[0], -tilt[1]]) @ frame.axes)
        shift = [(planes[0][0] + planes[1][0]) / 2, 0, 0]
        frame = _frame(frame.to_patient(shift), up, frame.axes[1])
    height = float(planes[0][0] - planes[1][0])
    if not 8 < height < _TALLEST_MM:
        raise UserError(
            f"the body of {vertebra.level} (id {vertebra.label}) measures {height:.0f} mm in "
            "height. Check the label map."
        )

    thick = along(-0.2 * height, 0.2 * height)
    wide = along(-_TALLEST_MM, _TALLEST_MM)
    midline = sample(mask, spacing, frame, (thick, wide, along(-4, 4)), 1).transpose(1, 0, 2)
    front, back = (float(np.nanmedian(_first_crossing(midline, wide, s))) for s in (1, -1))
    # Beside the middle of the front half there are no pedicles.
    beside = sample(mask, spacing, frame, (thick, along(0, front / 2), wide), 1).transpose(2, 0, 1)
    right, left = (float(np.nanmedian(_first_crossing(beside, wide, s))) for s in (1, -1))
    depth, width = front - back, right - left
    if not (12 < depth < 60 and 15 < width < 75):
        raise UserError(
            f"the body of {vertebra.level} (id {vertebra.label}) measures {height:.0f} x "
            f"{depth:.0f} x {width:.0f} mm (height, depth, width). Check the label map."
        )
    middle_of_body = frame.to_patient([0, (front + back) / 2, (left + right) / 2])
    frame = Frame(middle_of_body, frame.axes)

    columns = (along(-depth / 2 - _AROUND_MM, depth / 2 + _AROUND_MM),
               along(-width / 2 - _AROUND_MM, width / 2 + _AROUND_MM))  # fmt: skip
    bone = sample(mask, spacing, frame, (u, *columns), 1)
    grid = np.meshgrid(*columns, indexing="ij")
    surfaces, outline = [], (grid[0] >= -depth / 2)
    outline &= (np.abs(grid[0]) < 0.62 * depth) & (np.abs(grid[1]) < 0.62 * width)
    core_of_body = (np.abs(grid[0]) < 0.3 * depth) & (np.abs(grid[1]) < 0.3 * width)
    for side in (1, -1):
        first = _first_crossing(bone, u, side)
        plane = _plane(*columns, np.where(core_of_body, first, np.nan))
        flat = plane[0] + plane[1] * grid[0] + plane[2] * grid[1]
        surface = _last_crossing(bone, u, flat, side)
        outline &= np.isfinite(surface) & (np.abs(surface - flat) <= _RIM_MM)
        surfaces.append(surface)
    outline = ndimage.binary_opening(outline, iterations=2)
    if outline.sum() * STEP_MM**2 < 0.4 * depth * width:
        raise UserError(
            f"the endplates of {vertebra.level} (id {vertebra.label}) cannot be found in the label "
            "map. Check the labels."
        )
    top, bottom = (_continued(surface, outline) for surface in surfaces)
    return BodyMap(
        Frame(frame.centre + origin, frame.axes), depth, width, *columns, top, bottom, outline
    )


class Surroundings(NamedTuple):
    """What stands in and around the columns of a body.

    Attributes:
        up: [u] coordinates along the axis, mm.
        own: [u, f, r] bool, bone of the vertebra itself, arch and processes included.
        others: [u, f, r] bool, bone of other labelled vertebrae.
        inside: [u, f, r] bool, inside the volume.
    """

    up: np.ndarray
    own: np.ndarray
    others: np.ndarray
    inside: np.ndarray


def look_around(labels: Volume, ids: Collection[int], label: int, body: BodyMap) -> Surroundings:
    """What stands in the columns of a body, and up to `SEEN_MM` beyond its endplates.

    Args:
        labels: label map.
        ids: the labels of all vertebrae.
        label: of this one.
        body: its frame and columns.
    """
    up = along(body.bottom.min() - SEEN_MM, body.top.max() + SEEN_MM)
    axes = (up, body.front, body.right)
    box, frame = _box_of(labels, body.frame, axes)
    part = labels.array[box]
    kind = np.isin(part, np.array(sorted(ids))).astype(np.uint8) + 1
    kind[part == label] = 3
    cut = sample(kind, labels.voxel_spacing, frame, axes, 0)
    return Surroundings(up, cut == 3, cut == 2, cut > 0)


def _box_of(volume: Volume, frame: Frame, axes: tuple[np.ndarray, ...]) -> tuple[Box, Frame]:
    """Voxels around a grid of a frame, and the frame from the first of them."""
    ends = np.array([[u, f, r] for u in axes[0][[0, -1]] for f in axes[1][[0, -1]]
                     for r in axes[2][[0, -1]]])  # fmt: skip
    box = voxel_grid(volume).box(frame.to_patient(ends), 1)
    if box is None:
        raise UserError("the body lies outside the volume")
    start = np.array(start_of(box)) * volume.voxel_spacing
    return box, frame.moved(-start)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _frame(centre: np.ndarray, up: np.ndarray, towards_front: np.ndarray) -> Frame:
    front = _unit(towards_front - np.dot(towards_front, up) * up)
    right = np.cross(up, front)
    # (d, h, w) = (superior, anterior, right) is right-handed or not as (up, front, right) is.
    right *= np.sign(np.linalg.det(np.stack([up, front, right])))
    return Frame(np.asarray(centre, np.float64), np.stack([up, front, right]))


def _first_crossing(bone: np.ndarray, axis: np.ndarray, side: int) -> np.ndarray:
    """Where bone ends first from the middle of its first axis; NaN where it does not begin."""
    middle = len(axis) // 2
    run = bone[middle:] if side > 0 else bone[middle::-1]
    gone = run < 0.5
    index = np.argmax(gone, axis=0)
    found = gone.any(axis=0) & (index > 0)
    index = np.maximum(index, 1)
    after = np.take_along_axis(run, index[None], 0)[0]
    before = np.take_along_axis(run, index[None] - 1, 0)[0]
    fraction = (before - 0.5) / np.maximum(before - after, 1e-6)
    return np.where(found, axis[middle] + side * STEP_MM * (index - 1 + fraction), np.nan)


def _last_crossing(bone: np.ndarray, axis: np.ndarray, plane: np.ndarray, side: int) -> np.ndarray:
    """Outermost surface of the bone, up to the rim's distance beyond the plane of the endplate.

    The waist is narrower than the endplates, so columns of the rim begin in soft tissue.
    """
    height = axis[:, None, None] * side
    run = np.where((height > 0) & (height <= plane * side + _RIM_MM), bone, 0)
    run = run[::-side]  # from outside inwards
    hit = run >= 0.5
    index = np.maximum(np.argmax(hit, axis=0), 1)
    inner = np.take_along_axis(run, index[None], 0)[0]
    outer = np.take_along_axis(run, index[None] - 1, 0)[0]
    fraction = (inner - 0.5) / np.maximum(inner - outer, 1e-6)
    start = axis[::-side][0]
    return np.where(hit.any(axis=0), start - side * STEP_MM * (index - fraction), np.nan)


def _plane(front: np.ndarray, right: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Robust least-squares plane (constant, per front, per right), [3]."""
    f, r = np.meshgrid(front, right, indexing="ij")
    keep = np.isfinite(heights)
    for _ in range(3):
        if keep.sum() < 10:
            raise UserError("no endplates are found around the middle of the body")
        design = np.stack([np.ones_like(f), f, r], -1)
        plane = np.linalg.lstsq(design[keep], heights[keep], rcond=None)[0]
        error = np.abs(heights - design @ plane)
        keep = np.isfinite(heights) & (error <= max(2.5 * np.nanmedian(error[keep]), 1.0))
    return plane


def _continued(surface: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """The surface smoothed, and continued from its rim to the columns around."""
    nearest = ndimage.distance_transform_edt(~outline, return_distances=False, return_indices=True)
    whole = surface[tuple(nearest)]
    smooth = ndimage.gaussian_filter(whole, _SMOOTH_MM / STEP_MM, mode="nearest")
    far = ndimage.gaussian_filter(whole, 6 / STEP_MM, mode="nearest")
    weight = np.clip(ndimage.distance_transform_edt(~outline) * STEP_MM / 8, 0, 1)
    return smooth + weight * (far - smooth)
