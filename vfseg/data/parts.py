"""The parts of one label: the vertebra, and islands that a network left elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vfseg.data.box import (
    Box,
    box_between,
    grown,
    intersection,
    is_empty,
    moved,
    part_of,
    start_of,
    whole,
    within,
)
from vfseg.data.volume import Volume

LARGEST_EXTENT_MM = 250.0
"""No vertebra is longer: an id that is, is an organ, and its parts are not told apart."""

_TOUCHING = np.ones((3, 3, 3))  # 26 neighbours
_SECOND_FRACTION = 0.1  # of the largest part: an arch apart from its body, a body in two halves
_BESIDE_MM = 10.0
_GAP_MM = 2.0  # what lies so near counts for the vertebra by any measure

_Piece = tuple[Box, np.ndarray]


@dataclass(frozen=True, eq=False)
class Parts:
    """What one label holds.

    Attributes:
        box: of the vertebra.
        inside: bool, the vertebra within its box.
        count: of its parts, 26-connected, specks at the surface of the vertebra apart.
        islands: [n, 3] canonical voxels of the parts that are not the vertebra's.
    """

    box: Box
    inside: np.ndarray
    count: int
    islands: np.ndarray


def parts_of(labels: Volume, label: int, box: Box) -> Parts:
    """Divides a label into its vertebra and islands.

    The vertebra is the largest part; specks at its surface, no more than 2 mm apart, as voxels make
    them of thin processes; and parts beside it (their boxes within 10 mm) that have at least a
    tenth of its voxels: a broken body may be in two, an arch apart from its body.

    Args:
        labels: the map.
        label: an id in it.
        box: that holds all of it.
    """
    pieces = list(_pieces(labels, label, box))
    sizes = [int(np.count_nonzero(inside)) for _, inside in pieces]
    largest = int(np.argmax(sizes))
    main, least = pieces[largest], _SECOND_FRACTION * sizes[largest]
    chosen, islands, count = [main], [np.empty((0, 3), int)], 1
    for number, (piece, size) in enumerate(zip(pieces, sizes)):
        if number == largest:
            continue
        is_large = size >= least and _is_near(main[0], piece[0], _BESIDE_MM, labels)
        is_own = is_large or _is_speck(main, piece, labels)
        if is_own:
            chosen.append(piece)
        else:
            islands.append(np.argwhere(piece[1]) + start_of(piece[0]))
        count += is_large or not is_own
    starts = np.min([start_of(piece) for piece, _ in chosen], axis=0)
    stops = np.max([[side.stop for side in piece] for piece, _ in chosen], axis=0)
    inside = np.zeros(stops - starts, bool)
    for place, mask in chosen:
        inside[moved(place, (-starts).tolist())] |= mask
    return Parts(box_between(starts, stops), inside, count, np.concatenate(islands))


def _is_near(box: Box, other: Box, margin_mm: float, labels: Volume) -> bool:
    reach = np.ceil(margin_mm / labels.voxel_spacing).astype(int).tolist()
    return not is_empty(intersection(grown(box, reach, labels.shape), other))


def _is_speck(main: _Piece, piece: _Piece, labels: Volume) -> bool:
    """Whether no more than a narrow gap lies between a part and the largest one."""
    if not _is_near(main[0], piece[0], _GAP_MM + labels.voxel_spacing.max(), labels):
        return False
    reach = np.ceil(_GAP_MM / labels.voxel_spacing).astype(int) + 1
    around = grown(piece[0], reach.tolist(), labels.shape)
    beside = ndimage.binary_dilation(part_of(main[1], main[0], around), _TOUCHING)
    if not beside.any():
        return False
    gap = ndimage.distance_transform_edt(~beside, sampling=labels.voxel_spacing)
    return bool((gap[within(piece[0], around)][piece[1]] <= _GAP_MM).any())


def _pieces(labels: Volume, label: int, box: Box) -> Iterator[_Piece]:
    """Box and mask, within the box, of each connected part."""
    for tight in _without_gaps(labels.array, label, box):
        mask = labels.array[tight] == label
        if (np.array(mask.shape) * labels.voxel_spacing).max() > LARGEST_EXTENT_MM:
            yield tight, mask
            continue
        parts, _ = ndimage.label(mask, _TOUCHING)
        for number, own in enumerate(ndimage.find_objects(parts), 1):
            yield moved(own, start_of(tight)), parts[own] == number


def _without_gaps(array: np.ndarray, label: int, box: Box) -> Iterator[Box]:
    """Boxes that hold all of a label and have no plane without it: small ones, however far apart.

    A far island makes the box of a label as large as the volume; parts are told apart in these.
    """
    mask, runs = array[box] == label, []
    for axis in range(3):
        filled = mask.any(axis=tuple({0, 1, 2} - {axis}))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.view(np.int8), [0]])))
        runs.append([slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])])
    most = int(np.argmax([len(of_axis) for of_axis in runs]))
    if len(runs[most]) == 1:
        d, h, w = (of_axis[0] for of_axis in runs)
        yield moved((d, h, w), start_of(box))
        return
    for run in runs[most]:
        part = list(whole(mask.shape))
        part[most] = run
        yield from _without_gaps(array, label, moved((part[0], part[1], part[2]), start_of(box)))
