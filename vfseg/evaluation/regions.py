"""Which voxels count for which vertebra: its mask grown by 2 mm; a box where nothing else is."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vfseg.data.anatomy import Vertebra

MARGIN_MM = 2.0
_NOTHING = (slice(0, 0),) * 3


class VertebraRegion(NamedTuple):
    """The voxels of one vertebra.

    Attributes:
        vertebra: whose they are.
        box: of the volume, three slices of `d h w`.
        inside: bool, of the shape of the box.
    """

    vertebra: Vertebra
    box: tuple[slice, slice, slice]
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
        reach = 0 if labels is None else np.ceil(2 * MARGIN_MM / spacing).astype(int)
        start = np.maximum(np.asarray(vertebra.start) - reach, 0)
        stop = np.minimum(np.asarray(vertebra.stop) + reach, shape)
        d, h, w = (slice(int(a), int(b)) for a, b in zip(start, stop))
        if labels is None:
            yield VertebraRegion(vertebra, (d, h, w), np.ones((stop - start).tolist(), bool))
            continue
        ids = labels[d, h, w]
        own = ndimage.distance_transform_edt(ids != vertebra.label, sampling=spacing)
        inside = own <= MARGIN_MM
        others = np.isin(ids, [label for label in spine if label != vertebra.label])
        if others.any():
            inside &= own <= ndimage.distance_transform_edt(~others, sampling=spacing)
        yield VertebraRegion(vertebra, (d, h, w), inside)


def part_of(array: np.ndarray, box: Sequence[slice], wanted: Sequence[slice]) -> np.ndarray:
    """A part of a volume of which only a box is held; 0 outside of it.

    Args:
        array: what lies in the box, `d h w`.
        box: of the volume, with starts and stops.
        wanted: of the volume, with starts and stops.
    """
    part = np.zeros([side.stop - side.start for side in wanted], array.dtype)
    first = [max(a.start, b.start) for a, b in zip(box, wanted)]
    last = [max(min(a.stop, b.stop), low) for a, b, low in zip(box, wanted, first)]
    here = tuple(slice(a - b.start, z - b.start) for a, z, b in zip(first, last, box))
    there = tuple(slice(a - b.start, z - b.start) for a, z, b in zip(first, last, wanted))
    if all(a < z for a, z in zip(first, last)):
        part[there] = array[here]
    return part


def bounding_box(region: np.ndarray) -> tuple[slice, ...]:
    """Box of what is set, three slices of `d h w`; empty where nothing is."""
    if not region.any():
        return _NOTHING
    spans = (np.flatnonzero(region.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    return tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)
