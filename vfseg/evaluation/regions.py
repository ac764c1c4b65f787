"""Which voxels count for which vertebra: its mask grown by 2 mm; a box where nothing else is."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.box import Box, box_between
from vfseg.data.levels import Vertebra


class VertebraRegion(NamedTuple):
    """The voxels of one vertebra.

    Attributes:
        vertebra: whose they are.
        box: of the volume, three slices of `d h w`.
        inside: bool, of the shape of the box.
    """

    vertebra: Vertebra
    box: Box
    inside: np.ndarray


def vertebra_regions(
    vertebrae: Sequence[Vertebra],
    labels: np.ndarray | None,
    spine: Collection[int],
    shape: Sequence[int],
    voxel_spacing: np.ndarray,
) -> Iterator[VertebraRegion]:
    """The region of each vertebra, one at a time: only its own box is held in memory.

    A voxel belongs to a vertebra within 2 mm of its mask that is nearer than every other part of
    the spine (ties: to both), so a fracture of the neighbour is not counted twice. Where only boxes
    are known, the box is all that can be said, and neighbours overlap in it.

    Args:
        vertebrae: of the case.
        labels: vertebra ids `d h w`; None where only boxes were given.
        spine: all ids of the map that are spine, the vertebrae's own included.
        shape: (d, h, w) of the CT.
        voxel_spacing: (d, h, w) mm.
    """
    spacing = np.asarray(voxel_spacing, np.float64)
    for vertebra in vertebrae:
        # The other parts within reach of the margin lie within two margins of the vertebra.
        reach = 0 if labels is None else np.ceil(2 * ATTRIBUTION_MARGIN_MM / spacing).astype(int)
        start = np.maximum(np.asarray(vertebra.start) - reach, 0)
        stop = np.minimum(np.asarray(vertebra.stop) + reach, shape)
        box = box_between(start, stop)
        if labels is None:
            yield VertebraRegion(vertebra, box, np.ones((stop - start).tolist(), bool))
            continue
        ids = labels[box]
        others = np.isin(ids, [label for label in spine if label != vertebra.label])
        inside = nearer_within(ids == vertebra.label, others, ATTRIBUTION_MARGIN_MM, spacing)
        yield VertebraRegion(vertebra, box, inside)


def nearer_within(
    own: np.ndarray, others: np.ndarray, margin: float, voxel_spacing: np.ndarray
) -> np.ndarray:
    """Voxels within a margin of one mask that are not nearer to another.

    Both masks grow at the same pace, by the offsets of a ball in the order of their length; where
    the other one has been, the first no longer comes. At voxels of 1 mm, where the ball holds a few
    dozen offsets, a tenth of the time of two distance transforms; no gain at 0.3 mm.

    Args:
        own: bool `d h w`.
        others: bool, same shape, nowhere where `own` is.
        margin: mm.
        voxel_spacing: (d, h, w) mm.
    """
    reach = np.floor(margin / voxel_spacing).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1)
    offsets = grid.reshape(-1, 3)
    lengths = np.linalg.norm(offsets * voxel_spacing, axis=1).round(6)
    padding = [(r, r) for r in reach]
    own_padded, others_padded = np.pad(own, padding), np.pad(others, padding)

    def grown(padded: np.ndarray, length: float) -> np.ndarray:
        found = np.zeros(own.shape, bool)
        for start in offsets[lengths == length] + reach:
            found |= padded[tuple(slice(a, a + n) for a, n in zip(start, own.shape))]
        return found

    inside, taken = np.zeros(own.shape, bool), np.zeros(own.shape, bool)
    for length in np.unique(lengths[lengths <= margin]):
        inside |= grown(own_padded, length) & ~taken  # ties: to both
        taken |= grown(others_padded, length)
    return inside
