"""Instance ids of fractures: at most 255 in one volume, so that a mask is uint8."""

import numpy as np

from vfseg.errors import UserError


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
            f"{source}: {len(ids)} fracture instances, at most 255 can be told apart. "
            "Give one id to each fracture (a map of something else?)."
        )
    return np.where(instances == 0, 0, 1 + np.searchsorted(ids, instances)).astype(np.uint8)
