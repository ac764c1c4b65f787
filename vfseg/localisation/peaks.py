"""Peaks of the heat map: places that may be the middle of a vertebral body."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from vfseg.localisation.coarse import CELL, SPACING_MM

LEAST = 0.1
"""A lower peak is none."""

_APART = 5  # voxels of the neighbourhood in which a peak is the highest, 20 mm
_REACH = 2
_MOST = 200


@dataclass(frozen=True, eq=False)
class Peaks:
    """Places, cranial to caudal.

    Attributes:
        places: [n, 3] mm from the first voxel of the coarse grid along d, h, w.
        heights: [n] of the heat map, 0 to 1.
        levels: [n, classes] logarithm of the probability of each class of level.
    """

    places: np.ndarray
    heights: np.ndarray
    levels: np.ndarray

    def without(self, near: np.ndarray) -> "Peaks":
        """The peaks but some, [n] bool."""
        return Peaks(self.places[~near], self.heights[~near], self.levels[~near])


def peaks_of(heat: np.ndarray, level: np.ndarray) -> Peaks:
    """Finds the peaks.

    A place is the mean of what is above half the height of the peak, up to two voxels away, which
    is finer than a voxel.

    Args:
        heat: logits `d h w`.
        level: logits `d/2 h/2 w/2 classes`.
    """
    heat = special.expit(heat)
    highest = (heat >= LEAST) & (heat == ndimage.maximum_filter(heat, _APART))
    # Equal neighbours are one peak: the first of them.
    tops, _ = ndimage.label(highest, np.ones((3, 3, 3)))
    found = np.argwhere(highest)
    _, first = np.unique(tops[tuple(found.T)], return_index=True)
    found = found[first]
    found = found[np.argsort(-heat[tuple(found.T)], kind="stable")][:_MOST]
    found = found[np.argsort(-found[:, 0], kind="stable")]
    around = np.stack(np.meshgrid(*[range(-_REACH, _REACH + 1)] * 3, indexing="ij"), -1)
    index = found[:, None] + around.reshape(-1, 3)
    inside = ((index >= 0) & (index < heat.shape)).all(-1)
    held = np.where(inside[..., None], index, 0)
    near = np.where(inside, heat[tuple(np.moveaxis(held, -1, 0))], 0)
    heights = heat[tuple(found.T)]
    weights = np.maximum(near - heights[:, None] / 2, 0)
    places = (index * weights[..., None]).sum(1) / weights.sum(1, keepdims=True)
    cells = np.clip((places - (CELL - 1) / 2) / CELL, 0, np.array(level.shape[:3]) - 1)
    logits = np.stack(
        [ndimage.map_coordinates(plane, cells.T, order=1) for plane in np.moveaxis(level, -1, 0)],
        -1,
    )
    return Peaks(
        places * SPACING_MM,
        heights,
        special.log_softmax(logits.astype(np.float64), axis=-1),
    )
