"""From a canonical volume to a picture as radiologists hang it.

Canonical axes `d h w` run towards superior, anterior and the patient's right. Axial and coronal
pictures are in radiological convention (the patient's right on the left side), sagittal ones
look from the patient's left (anterior on the left side). So both axes of every picture run
against the canonical ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Plane(NamedTuple):
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


PLANES = (
    Plane("axial", axis=0, rows=1, columns=2, letters="APRL"),
    Plane("sagittal", axis=2, rows=0, columns=1, letters="SIAP"),
    Plane("coronal", axis=1, rows=0, columns=2, letters="SIRL"),
)

Box = tuple[slice, slice, slice]


def oriented_slice(array: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    """One slice as a picture: row 0 at the top, column 0 on the left.

    Args:
        array: `d h w`.
        plane: one of `PLANES`.
        index: along `plane.axis`.

    Returns:
        View "rows columns".
    """
    cut = [slice(None)] * 3
    cut[plane.axis] = slice(index, index + 1)
    return array[tuple(cut)].squeeze(plane.axis)[::-1, ::-1]


def oriented_mm(
    point: Sequence[float], plane: Plane, shape: Sequence[int], spacing: np.ndarray
) -> tuple[float, float]:
    """Where a point of the volume lies in the picture of its slice.

    Args:
        point: (d, h, w) in voxels.
        plane: one of `PLANES`.
        shape: of the volume, (d, h, w).
        spacing: mm along d, h, w.

    Returns:
        x and y in mm from the centre of the top left pixel, x to the right and y down.
    """
    x = (shape[plane.columns] - 1 - point[plane.columns]) * spacing[plane.columns]
    y = (shape[plane.rows] - 1 - point[plane.rows]) * spacing[plane.rows]
    return float(x), float(y)


def picture_extent(
    plane: Plane, shape: Sequence[int], spacing: np.ndarray
) -> tuple[float, float, float, float]:
    """Edges of the picture (left, right, bottom, top) in the millimetres of `oriented_mm`."""
    width, height = shape[plane.columns], shape[plane.rows]
    across, down = float(spacing[plane.columns]), float(spacing[plane.rows])
    return -across / 2, (width - 0.5) * across, (height - 0.5) * down, -down / 2


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
        Slices along d, h, w.
    """
    box = []
    for at, length, step in zip(point, shape, spacing, strict=True):
        size = min(length, max(1, round(size_mm / step)))
        start = min(max(0, round(at - (size - 1) / 2)), length - size)
        box.append(slice(start, start + size))
    return box[0], box[1], box[2]
