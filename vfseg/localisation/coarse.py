"""CTs and their vertebrae on a coarse grid: what the localiser learns from and looks at."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vfseg.data.resample import sample_linear
from vfseg.synthesis.phantom.tissue import AIR

KEPT_MM = 3.0
"""Spacing at which cases to learn from are kept."""

SPACING_MM = 4.0
"""Spacing of the voxels that the network sees, and of its heat map."""

CELL = 2
"""Voxels of a cell along each axis: the network computes in cells of 8 mm."""

_SLAB = 4  # voxels along d: of slices of 0.4 mm it takes 60, whose copies are the peak of memory


@dataclass(frozen=True, eq=False)
class CoarseCase:
    """A CT on a coarse grid, and where its vertebral bodies are.

    Attributes:
        name: of the case.
        hu: int16 `d h w`, at `KEPT_MM`.
        points: level (see `NAMES`) -> [3] voxels, middle of the body.
        known: lowest and highest voxel along d between which every body is in `points`.
        doubtful: [n, 3] voxels of bodies that are cut off, so neither found nor missed.
    """

    name: str
    hu: np.ndarray
    points: Mapping[str, np.ndarray]
    known: tuple[float, float]
    doubtful: np.ndarray


def coarse(
    array: np.ndarray, voxel_spacing: np.ndarray, spacing: float, fill: float = AIR
) -> np.ndarray:
    """A CT on a grid of another spacing, float32 HU; voxel i lies at i * spacing mm.

    Args:
        array: `d h w`, HU.
        voxel_spacing: [3] mm.
        spacing: mm.
        fill: value outside.
    """
    shape = coarse_shape(array.shape, voxel_spacing, spacing)
    slabs = []
    step = spacing / voxel_spacing
    for first in range(0, shape[0], _SLAB):  # never a copy of the whole CT
        part = (min(_SLAB, shape[0] - first), *shape[1:])
        slabs.append(sample_linear(array, (first * step[0], 0, 0), step, part, fill=fill))
    return np.concatenate(slabs)


def coarse_shape(
    shape: tuple[int, ...], voxel_spacing: np.ndarray, spacing: float
) -> tuple[int, int, int]:
    """Shape of the coarse grid."""
    d, h, w = np.ceil((np.array(shape) - 0.5) * voxel_spacing / spacing).astype(int)
    return max(int(d), 1), max(int(h), 1), max(int(w), 1)
