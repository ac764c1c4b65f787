"""A sagittal picture that follows the spine from side to side: one column of a CT for each row.

Row by row the plane passes through the middle of the vertebral bodies, so that a scoliotic spine
lies in one picture; along and across the picture distances stay as they are.
"""

from typing import NamedTuple

import numpy as np

from vfseg.data.levels import Vertebra
from vfseg.report.view_grid import ViewVolumes


class CurvedPicture(NamedTuple):
    """The picture; row 0 is the most cranial, column 0 the most anterior.

    Attributes:
        columns: position along w of each row, in voxels of the viewer's grid.
        layers: name -> uint8 "rows columns" as in `ViewVolumes`.
    """

    columns: np.ndarray
    layers: dict[str, np.ndarray]


def curved_picture(volumes: ViewVolumes, vertebrae: tuple[Vertebra, ...]) -> CurvedPicture:
    """Cuts the volumes of the viewer along the spine.

    Args:
        volumes: of the case.
        vertebrae: cranial to caudal; without any the plane is the middle one.
    """
    centres = np.array([volumes.grid.index_of(v.centre) for v in vertebrae])
    path = along_spine(centres, volumes.grid.shape)
    named = {
        "ct": volumes.ct,
        "probability": volumes.probability,
        "uncertainty": volumes.uncertainty,
        "truth": volumes.truth,
    }
    rows, nearest = np.arange(volumes.grid.shape[0]), np.rint(path).astype(int)
    layers = {
        name: np.ascontiguousarray(array[rows, :, nearest][::-1, ::-1])
        for name, array in named.items()
        if array is not None
    }
    return CurvedPicture(path[::-1], layers)


def along_spine(centres: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Position along w at each d: straight between bodies, level beyond the last ones.

    Args:
        centres: of the bodies, voxels "n 3"; without any it is the middle plane.
        shape: of the volume, (d, h, w).

    Returns:
        float64 "d", in voxels, within the volume.
    """
    depth, _, width = shape
    if not len(centres):
        return np.full(depth, (width - 1) / 2)
    centres = centres[np.argsort(centres[:, 0])]
    return np.interp(np.arange(depth), centres[:, 0], centres[:, 2]).clip(0, width - 1)
