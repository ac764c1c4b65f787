"""The surroundings of one vertebral body, as the network looks at them."""

import numpy as np

from vfseg.data.resample import sample_linear
from vfseg.synthesis.phantom.tissue import AIR

SPACING_MM = 1.25
"""Voxel spacing of a patch."""

SHAPE = (48, 40, 48)
"""Voxels of a patch, 60 mm up, 50 mm forwards, 60 mm across: a body, and its neighbours' ends."""

POINT = (24, 20, 24)
"""Where in a patch the middle of the body lies."""


def cut_patch(array: np.ndarray, voxel_spacing: np.ndarray, point: np.ndarray) -> np.ndarray:
    """A patch of a CT around a point, float32 HU of `SHAPE`; outside of the CT it is air.

    Args:
        array: `d h w`, HU.
        voxel_spacing: [3] mm.
        point: [3], middle of the body in voxels.
    """
    return sample_linear(array, *placed(voxel_spacing, point), SHAPE, fill=AIR)


def placed(voxel_spacing: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first voxel of a patch, in voxels of the CT, and its steps; arguments as `cut_patch`."""
    step = SPACING_MM / np.asarray(voxel_spacing)
    return np.asarray(point) - np.array(POINT) * step, step
