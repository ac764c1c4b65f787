"""The field of view and the voxels of a painted CT, on the axes of its label map."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vfseg.data.volume import Volume
from vfseg.synthesis.phantom.scanner import Scanner, draw_scanner, layers_of
from vfseg.synthesis.phantom.shapes import Grid
from vfseg.synthesis.settings import PhantomSettings

IN_PLANE_MM = (0.6, 1.0)
SLICE_MM = (0.5, 5.0)
"""Thickness of a slice, log-uniform; what lies in it is averaged."""

AXIAL_PROBABILITY = 0.8
"""Of stacks of axial slices; the others are sagittal."""

# Range of how far the field goes beyond the middles of the outermost bodies, mm: caudal, posterior,
# lateral; cranial, anterior. Its least cuts the outermost vertebrae and leaves no skin.
_BEFORE = ((14.0, 44.0), (55.0, 112.0), (32.0, 58.0))
_AFTER = ((14.0, 36.0), (25.0, 58.0), (32.0, 58.0))


def draw_acquisition(rng: np.random.Generator, labels: Volume) -> Scanner:
    """Draws spacing and orientation of the voxels; the axes are those of the label map.

    The scanner's `offset` is the world place of the map's voxel (0, 0, 0).
    """
    scanner = draw_scanner(rng, PhantomSettings())
    spacing = np.full(3, rng.uniform(*IN_PLANE_MM))
    across = 0 if rng.random() < AXIAL_PROBABILITY else 2
    spacing[across] = np.exp(rng.uniform(*np.log(SLICE_MM)))
    axes = labels.affine[:3, :3] / labels.voxel_spacing
    return replace(
        scanner,
        voxel_spacing=spacing,
        layers=layers_of(spacing),
        rotation=axes[:, ::-1],
        offset=labels.affine[:3, 3],
    )


def draw_field(
    rng: np.random.Generator,
    centres: np.ndarray,
    limits: Sequence[float],
    scanner: Scanner,
) -> tuple[Grid, Scanner]:
    """A grid of the scanner's layers around some bodies, and the scanner placed there.

    Args:
        rng: of the scanner.
        centres: [n, 3] of the bodies, mm from voxel (0, 0, 0) of the label map.
        limits: least and largest mm along d that the field may hold.
        scanner: its offset is that of millimetre (0, 0, 0).
    """
    low = centres.min(0) - [rng.uniform(*span) for span in _BEFORE]
    high = centres.max(0) + [rng.uniform(*span) for span in _AFTER]
    low[0], high[0] = max(low[0], limits[0]), min(high[0], limits[1])
    shape = np.maximum(np.floor((high - low) / scanner.voxel_spacing), 1).astype(int)
    spacing = scanner.voxel_spacing / scanner.layers
    d, h, w = (int(n) for n in shape * scanner.layers)
    grid = Grid((d, h, w), spacing, low + spacing / 2)
    first = low + scanner.voxel_spacing / 2
    return grid, replace(scanner, offset=scanner.offset + scanner.rotation @ first[::-1])
