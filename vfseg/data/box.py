"""Boxes of a volume `d h w`: three half-open slices with starts and stops, and no steps."""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

Box = tuple[slice, slice, slice]


def box_between(start: Iterable[int], stop: Iterable[int]) -> Box:
    """The box from a first voxel (d, h, w) up to, and without, a last one.

    >>> box_between((0, 1, 2), (3, 4, 5))
    (slice(0, 3, None), slice(1, 4, None), slice(2, 5, None))
    """
    d, h, w = (slice(int(low), int(high)) for low, high in zip(start, stop, strict=True))
    return d, h, w


def triple(numbers: Iterable[float]) -> tuple[int, int, int]:
    """Three whole numbers, one an axis, of whatever three numbers there are.

    >>> triple(np.array([3.0, 1.0, 2.0]))
    (3, 1, 2)
    """
    d, h, w = (int(number) for number in numbers)
    return d, h, w


def stop_of(box: Box) -> tuple[int, int, int]:
    """End (d, h, w) of a box, exclusive."""
    d, h, w = box
    return d.stop, h.stop, w.stop


def whole(shape: Iterable[int]) -> Box:
    """The box that holds a volume of this shape (d, h, w)."""
    return box_between((0, 0, 0), shape)


def start_of(box: Box) -> tuple[int, int, int]:
    """First voxel (d, h, w) of a box."""
    d, h, w = box
    return d.start, h.start, w.start


def shape_of(box: Box) -> tuple[int, int, int]:
    """Size (d, h, w) of a box in voxels.

    >>> shape_of(box_between((0, 1, 2), (3, 3, 3)))
    (3, 2, 1)
    """
    d, h, w = (side.stop - side.start for side in box)
    return d, h, w


def is_empty(box: Box) -> bool:
    """Whether a box holds no voxel."""
    return min(shape_of(box)) <= 0


def intersection(box: Box, other: Box) -> Box:
    """What two boxes of one volume have in common; see `is_empty` for whether that is anything.

    Along a side on which they do not meet it has size 0, never less.
    """
    start = [max(a.start, b.start) for a, b in zip(box, other, strict=True)]
    stop = [max(min(a.stop, b.stop), low) for a, b, low in zip(box, other, start, strict=True)]
    return box_between(start, stop)


def within(box: Box, outer: Box) -> Box:
    """A box in the indices of the array that `outer` cuts out; `outer` holds it."""
    first = start_of(outer)
    return box_between(
        (side.start - low for side, low in zip(box, first, strict=True)),
        (side.stop - low for side, low in zip(box, first, strict=True)),
    )


def moved(box: Box, by: Iterable[int]) -> Box:
    """A box moved by (d, h, w) voxels: the reverse of `within`, where that is the start of outer.

    >>> moved(box_between((0, 0, 0), (1, 2, 3)), (4, 4, 4))
    (slice(4, 5, None), slice(4, 6, None), slice(4, 7, None))
    """
    steps = tuple(by)
    return box_between(
        (side.start + step for side, step in zip(box, steps, strict=True)),
        (side.stop + step for side, step in zip(box, steps, strict=True)),
    )


def grown(box: Box, margin: Iterable[int], shape: Iterable[int]) -> Box:
    """A box with a margin of (d, h, w) voxels around it, as far as a volume of this shape goes.

    >>> grown(box_between((0, 5, 5), (2, 6, 6)), (1, 1, 1), (9, 9, 6))
    (slice(0, 3, None), slice(4, 7, None), slice(4, 6, None))
    """
    margins = tuple(margin)
    larger = box_between(
        (side.start - step for side, step in zip(box, margins, strict=True)),
        (side.stop + step for side, step in zip(box, margins, strict=True)),
    )
    return intersection(larger, whole(shape))


def overlap(box: Box, other: Box) -> tuple[Box, Box]:
    """The voxels that two boxes have in common, in the indices of either box.

    >>> a, b = box_between((0, 0, 0), (5, 5, 5)), box_between((3, 3, 3), (9, 9, 9))
    >>> overlap(a, b) == (box_between((3, 3, 3), (5, 5, 5)), box_between((0, 0, 0), (2, 2, 2)))
    True
    """
    common = intersection(box, other)
    return within(common, box), within(common, other)


def part_of(array: np.ndarray, box: Box, wanted: Box) -> np.ndarray:
    """A part of a volume of which only a box is held; 0 outside of it.

    Args:
        array: what lies in the box, `d h w`.
        box: of the volume.
        wanted: of the volume.
    """
    part = np.zeros(shape_of(wanted), array.dtype)
    held, place = overlap(box, wanted)
    part[place] = array[held]
    return part


def bounding_box(mask: np.ndarray) -> Box:
    """Smallest box around the voxels that are set, not 0, in `d h w`; empty where none is.

    >>> bounding_box(np.eye(3, dtype=bool)[None])
    (slice(0, 1, None), slice(0, 3, None), slice(0, 3, None))
    """
    box = list(whole(mask.shape))
    for axis in range(3):  # each one is looked for only where those before it have left something
        filled = np.flatnonzero(mask[tuple(box)].any(axis=tuple({0, 1, 2} - {axis})))
        if not filled.size:
            return box_between((0, 0, 0), (0, 0, 0))
        box[axis] = slice(int(filled[0]), int(filled[-1]) + 1)
    return box[0], box[1], box[2]


def label_boxes(labels: np.ndarray) -> dict[int, Box]:
    """Smallest box around each id of a label map `d h w`, by id, in their order.

    `scipy.ndimage.find_objects` goes through all voxels one by one: here through those of the part
    of the map that is not all background.

    >>> label_boxes(np.array([[[0, 2, 2, 0]]]))
    {2: (slice(0, 1, None), slice(0, 1, None), slice(1, 3, None))}
    """
    around = bounding_box(labels)
    if is_empty(around):
        return {}
    found = enumerate(ndimage.find_objects(labels[around]), 1)
    return {label: moved(box, start_of(around)) for label, box in found if box is not None}
