"""Fracture instances of a mask: which voxels are one, how small one may be, ids that fit uint8."""

import contextlib
from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from vfseg.data.box import bounding_box
from vfseg.data.cases import Case
from vfseg.data.volume import read_labels
from vfseg.errors import UserError

LESION_MM3 = 10.0
"""What a model predicts is a lesion from this volume on; a reference below it is suspect."""

_TOUCHING = np.ones((3, 3, 3))


def instances_are_marked(cases: Iterable[Case]) -> bool:
    """Whether the masks of a data set tell fractures apart: any of them holds two ids.

    One mask alone cannot answer: in a case with a single fracture both kinds look the same. So ask
    with all cases of the data set. Reading stops at the first mask that holds several ids; a mask
    that cannot be read is passed over.
    """
    for case in cases:
        with contextlib.suppress(Exception):  # a damaged file fails in many ways
            if case.fractures and _several(read_labels(case.fractures).array):
                return True
    return False


def _several(mask: np.ndarray) -> bool:
    """Whether a mask holds two ids or more; 0 is none, and 255 alone a way to write 1."""
    highest = mask.max(initial=0)
    return bool(np.any((mask != 0) & (mask != highest)))


def connected(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """26-connected components: voxels touch by a face, an edge or a corner.

    Args:
        mask: `d h w`, 0 is none.

    Returns:
        The components, numbered 1 to n, int32 `d h w`, and n.
    """
    found, count = ndimage.label(mask, _TOUCHING)
    return found, int(count)


def separated(mask: np.ndarray, marked: bool) -> np.ndarray:
    """What one fracture is: an id where ids are marked, else a 26-connected component.

    Args:
        mask: integers `d h w`, 0 is none.
        marked: whether ids tell fractures apart, see `instances_are_marked`.

    Returns:
        Instance ids `d h w`, 0 is none: the mask itself where marked, else a new array, 1 to n.
    """
    if marked:
        return mask
    box = bounding_box(mask != 0)
    found, count = connected(mask[box])
    instances = np.zeros(mask.shape, np.uint16 if count < 2**16 else np.int32)
    instances[box] = found
    return instances


def instances_as_uint8(instances: np.ndarray, source: str) -> np.ndarray:
    """Instance ids as uint8: unchanged up to 255, else numbered anew, 1 to n in their order.

    Args:
        instances: integer ids, 0 is none.
        source: where they are from, for messages.

    Raises:
        UserError: more than 255 different ids.

    >>> instances_as_uint8(np.array([0, 7, 300]), "mask.nii.gz")
    array([0, 1, 2], dtype=uint8)
    """
    if instances.max(initial=0) <= 255:
        return instances.astype(np.uint8)
    ids = np.unique(instances[instances != 0])
    if len(ids) > 255:
        raise UserError(
            f"{source}: {len(ids)} fracture instances, at most 255 can be kept apart. "
            "Give one id to each fracture (a map of something else?)."
        )
    return np.where(instances == 0, 0, 1 + np.searchsorted(ids, instances)).astype(np.uint8)
