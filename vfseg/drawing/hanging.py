"""From a canonical volume to a picture as radiologists hang it.

Canonical axes `d h w` run towards superior, anterior and the patient's right. Axial and coronal
pictures are in radiological convention (the patient's right on the left side), sagittal ones
look from the patient's left (anterior on the left side). So both axes of every picture run
against the canonical ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vfseg.data.box import Box, box_between
from vfseg.data.settings import PLANE_AXES


class Hanging(NamedTuple):
    """How one plane is cut and hung.

    Attributes:
        name: "axial", "sagittal" or "coronal".
        axis: canonical axis that the plane cuts across.
        rows: canonical axis that runs up the picture.
        columns: canonical axis that runs from right to left in the picture.
        letters: directions in the patient at the top, bottom, left and right of the picture.
    """

    name: str
    axis: int
    rows: int
    columns: int
    letters: str


HANGINGS = (
    Hanging("axial", PLANE_AXES["axial"], rows=1, columns=2, letters="APRL"),
    Hanging("sagittal", PLANE_AXES["sagittal"], rows=0, columns=1, letters="SIAP"),
    Hanging("coronal", PLANE_AXES["coronal"], rows=0, columns=2, letters="SIRL"),
)


class Extent(NamedTuple):
    """Edges of a picture, or of a part of it, in mm; in the order that Matplotlib takes."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def width(self) -> float:
        """Mm from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Mm from top to bottom."""
        return abs(self.bottom - self.top)


def oriented_slice(array: np.ndarray, hanging: Hanging, index: int) -> np.ndarray:
    """One slice as a picture: row 0 at the top, column 0 on the left.

    Args:
        array: `d h w`.
        hanging: one of `HANGINGS`.
        index: along `hanging.axis`.

    Returns:
        View "rows columns".
    """
    cut = [slice(None)] * 3
    cut[hanging.axis] = slice(index, index + 1)
    return array[tuple(cut)].squeeze(hanging.axis)[::-1, ::-1]


def oriented_mm(
    point: Sequence[float], hanging: Hanging, shape: Sequence[int], spacing: np.ndarray
) -> tuple[float, float]:
    """Where a point of the volume lies in the picture of its slice.

    Args:
        point: (d, h, w) in voxels.
        hanging: one of `HANGINGS`.
        shape: of the volume, (d, h, w).
        spacing: mm along d, h, w.

    Returns:
        x and y in mm from the centre of the top left pixel, x to the right and y down.
    """
    x = (shape[hanging.columns] - 1 - point[hanging.columns]) * spacing[hanging.columns]
    y = (shape[hanging.rows] - 1 - point[hanging.rows]) * spacing[hanging.rows]
    return float(x), float(y)


def picture_extent(hanging: Hanging, shape: Sequence[int], spacing: np.ndarray) -> Extent:
    """Edges of the picture of a slice, in the millimetres of `oriented_mm`: y grows downwards.

    Args:
        hanging: one of `HANGINGS`.
        shape: of the volume, (d, h, w).
        spacing: mm along d, h, w.
    """
    width, height = shape[hanging.columns], shape[hanging.rows]
    across, down = float(spacing[hanging.columns]), float(spacing[hanging.rows])
    return Extent(-across / 2, (width - 0.5) * across, (height - 0.5) * down, -down / 2)


def view_box(
    point: Sequence[float], shape: Sequence[int], spacing: np.ndarray, size_mm: float
) -> Box:
    """Cube around a point, moved so as to stay inside the volume, cut only where that is smaller.

    Args:
        point: (d, h, w) in voxels, inside the volume.
        shape: of the volume, (d, h, w).
        spacing: mm along d, h, w.
        size_mm: edge of the cube.

    Returns:
        The cube in voxels.
    """
    starts, stops = [], []
    for at, length, step in zip(point, shape, spacing, strict=True):
        size = min(length, max(1, round(size_mm / step)))
        start = min(max(0, round(at - (size - 1) / 2)), length - size)
        starts.append(start)
        stops.append(start + size)
    return box_between(starts, stops)
