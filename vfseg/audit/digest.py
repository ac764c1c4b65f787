"""A hash by which one image is known under any header."""

import hashlib
from collections.abc import Sequence

import numpy as np


def image_digest(counts: np.ndarray, shape: Sequence[int]) -> str:
    """Hash that is the same for equal images of any header, orientation or offset in HU.

    It is taken from the sorted shape and the histogram between its lowest and its highest value;
    two CTs with noise never agree in them by accident. Empty where fewer than 100 values occur.
    """
    low, high = np.flatnonzero(counts)[[0, -1]]
    if np.count_nonzero(counts) < 100:
        return ""
    digest = hashlib.sha256(repr(sorted(shape)).encode())
    digest.update(counts[low : high + 1].tobytes())
    return digest.hexdigest()
