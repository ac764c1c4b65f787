"""Motion of the patient during the scan: a stack of slices in which everything is seen twice."""

from dataclasses import dataclass

import numpy as np

from vfseg.synthesis.phantom.shapes import ramp

_FADE = 0.2  # of the stack, at each of its ends


@dataclass(frozen=True)
class Motion:
    """A movement across the axis of the scanner while some slices were taken.

    Attributes:
        middle: of the slices concerned, as a fraction of the volume, 0 (caudal) to 1.
        extent: of them, as a fraction of the volume.
        shift: mm towards anterior and right.
    """

    middle: float
    extent: float
    shift: tuple[float, float]


def smear(hu: np.ndarray, motion: Motion, spacing: np.ndarray) -> np.ndarray:
    """The CT of a patient who moved: up to half of the signal comes from the other place.

    Args:
        hu: float32 `d h w`.
        motion: what happened.
        spacing: [3] mm along d, h, w.
    """
    place = (np.arange(len(hu)) + 0.5) / len(hu)
    apart = np.abs(place - motion.middle) / (motion.extent / 2)
    share = 0.5 * ramp(apart, 1, 1 - 2 * _FADE)
    hit = np.flatnonzero(share > 0)
    if not hit.size:
        return hu
    part = slice(hit[0], hit[-1] + 1)
    moved = hu[part]
    for axis, mm in enumerate(motion.shift, 1):
        moved = _shifted(moved, mm / float(spacing[axis]), axis)
    out = hu.copy()
    out[part] += share[part, None, None].astype(np.float32) * (moved - hu[part])
    return out


def _shifted(array: np.ndarray, voxels: float, axis: int) -> np.ndarray:
    """Moved along an axis, linearly interpolated; the edge repeats."""
    size = array.shape[axis]
    place = np.clip(np.arange(size) - voxels, 0, size - 1)
    first = np.minimum(place.astype(int), max(size - 2, 0))
    weight = (place - first).astype(np.float32)
    weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
    left = np.take(array, first, axis)
    return left + weight * (np.take(array, np.minimum(first + 1, size - 1), axis) - left)
