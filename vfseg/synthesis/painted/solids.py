"""A bone of a label map as a smooth surface: its signed distance, freed of the map's voxels."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from vfseg.data.box import Box, grown, shape_of, start_of
from vfseg.synthesis.painted.rigid import Rigid
from vfseg.synthesis.phantom.shapes import Grid

STEP_MM = 1.0
"""Spacing of the grid on which distances are kept."""

FAR_MM = 6.0
"""Distances are kept up to here."""

_SMOOTH = 0.7  # SD of the smoothing in voxels of the map: steps of one voxel vanish in it
_NEAR_MM = (1.5, 2.5)  # closer than this the smoothed map tells the distance


@dataclass(frozen=True, eq=False)
class Solid:
    """The surface of a bone in millimetres from voxel (0, 0, 0) of its label map.

    Attributes:
        distance: float32 `d h w` on a grid of `STEP_MM`, mm, negative inside, at most `FAR_MM`.
        origin: [3] mm of its first point.
    """

    distance: np.ndarray
    origin: np.ndarray

    def corners(self) -> np.ndarray:
        """[8, 3] mm, corners of what it holds."""
        size = STEP_MM * (np.array(self.distance.shape) - 1)
        ends = np.array([[d, h, w] for d in (0, 1) for h in (0, 1) for w in (0, 1)])
        return self.origin + ends * size

    def on(self, grid: Grid, box: Box, moved: Rigid) -> np.ndarray:
        """Its distance at the voxels of a box of a grid, float32 `d h w`.

        Args:
            grid: in the same millimetres.
            box: of the grid.
            moved: where the bone has come to.
        """
        back = moved.turn.T / STEP_MM
        first = grid.origin + grid.spacing * start_of(box)
        return ndimage.affine_transform(
            self.distance,
            back * grid.spacing,
            back @ (first - moved.shift) - self.origin / STEP_MM,
            output_shape=shape_of(box),
            order=1,
            mode="constant",
            cval=FAR_MM,
        )


def solid_of(labels: np.ndarray, label: int, box: Box, spacing: np.ndarray) -> Solid:
    """The smooth surface of one label.

    The mask is smoothed by a Gaussian of 0.7 voxels along each axis while it is brought onto the
    finer grid. Near a surface the smoothed mask is the normal distribution function of the
    distance, so its inverse, over the length of its gradient, is the distance to first order,
    whatever the voxels' shape; further away an exact transform goes on. At the border of the map a
    bone ends where the map does.

    Args:
        labels: label map `d h w`.
        label: the id.
        box: that holds all of it.
        spacing: [3] mm.
    """
    box = grown(box, np.ceil(FAR_MM / spacing).astype(int), labels.shape)
    mask = (labels[box] == label).astype(np.float32)
    fine = []
    for axis, size in enumerate(mask.shape):
        count = int(np.floor((size - 1) * spacing[axis] / STEP_MM)) + 1
        place = np.arange(count)[:, None] * STEP_MM / spacing[axis]
        taps = np.exp(-0.5 * np.square((place - np.arange(size)) / _SMOOTH))
        taps = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
        mask = np.moveaxis(np.tensordot(taps, mask, (1, axis)), 0, axis)
        fine.append(count)
    level = special.ndtri(np.clip(1 - mask, 1e-4, 1 - 1e-4)).astype(np.float32)
    slope = np.sqrt(sum(np.square(axis) for axis in np.gradient(level, STEP_MM)))
    near = level / np.maximum(slope, 0.1)
    inside = mask > 0.5
    far = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    far = STEP_MM * (far - 0.5 * np.sign(far))
    weight = np.clip((np.abs(far) - _NEAR_MM[0]) / (_NEAR_MM[1] - _NEAR_MM[0]), 0, 1)
    near = np.clip(near, -_NEAR_MM[1], _NEAR_MM[1])
    distance = np.minimum(near + weight * (far - near), FAR_MM)
    return Solid(distance.astype(np.float32), spacing * start_of(box))
