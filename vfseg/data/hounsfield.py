"""Whether the values of a CT can be Hounsfield units, by their histogram.

`read_hounsfield` is how every mode reads a CT that it computes on.
"""

import math
import os
from collections.abc import Iterator

import numpy as np
from absl import logging

from vfseg.data.volume import Volume, read_ct
from vfseg.errors import UserError

_LOWEST = -32768
_ENOUGH_VOXELS = 2**26  # to tell whether values are Hounsfield units: a large CT is not read twice
_SOFT_TISSUE = 0.2  # of the voxels: cortical bone, which may have such values, is a few percent
_EXPORT = "Export the CT again from the scanner's DICOM, in HU: air -1000, water 0."


def read_hounsfield(path: str | os.PathLike) -> Volume:
    """Reads a CT, and refuses values that cannot be Hounsfield units.

    What is odd about them otherwise is a warning in the log. Of a large CT every few slices count.

    Args:
        path: as in `read_ct`.

    Raises:
        UserError: as in `read_ct`; an error of `check_hounsfield`.
    """
    ct = read_ct(path)
    counts = hounsfield_histogram(ct, math.ceil(ct.array.size / _ENOUGH_VOXELS))
    for severity, _, message in check_hounsfield(counts):
        if severity == "error":
            raise UserError(f"{path}: {message}")
        if severity == "warning":
            logging.warning("%s: %s", path, message)
    return ct


def hounsfield_histogram(ct: Volume, step: int = 1) -> np.ndarray:
    """Counts [65536] of the values -32768 .. 32767, in every `step`-th slice as stored."""
    stored = ct.geometry.to_stored(ct.array).reshape(ct.geometry.stored_shape[:3])
    counts = np.zeros(65536, np.int64)
    for index in range(0, stored.shape[2], step):
        values = stored[:, :, index].ravel(order="K").astype(np.int64)
        counts += np.bincount(values - _LOWEST, minlength=65536)
    return counts


def value_range(counts: np.ndarray) -> tuple[int, int]:
    """Lowest and highest value."""
    present = np.flatnonzero(counts)
    return int(present[0]) + _LOWEST, int(present[-1]) + _LOWEST


def check_hounsfield(counts: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """What no CT in HU shows, as (severity, kind, message).

    Args:
        counts: [65536] of `hounsfield_histogram`.
    """
    low, high = value_range(counts)
    total = int(counts.sum())
    if low >= 0 and high <= 255:
        yield (
            *("error", "hounsfield"),
            f"values from {low} to {high}: 8-bit grey values, not HU (an image windowed for "
            f"display, or a label map?). {_EXPORT}",
        )
        return
    if high - low < 300:
        yield (
            *("error", "hounsfield"),
            f"values from {low} to {high}: too few for a CT with air, soft tissue and bone "
            f"(normalised?). {_EXPORT}",
        )
        return
    padding = _padding(counts)
    if padding is not None:
        fraction = counts[padding - _LOWEST] / total
        yield (
            *("note", "padding"),
            f"{fraction:.0%} of the voxels are {padding}: padding outside the field of view, which "
            "every HU window clips.",
        )
        counts = counts.copy()
        counts[padding - _LOWEST] = 0
        low, total = value_range(counts)[0], int(counts.sum())

    def fraction_of(first: int, last: int) -> float:
        return float(counts[first - _LOWEST : last + 1 - _LOWEST].sum() / total)

    if low >= 0:
        yield (
            *("error", "hounsfield"),
            f"all values are positive ({low} to {high}): the intercept (usually -1024) is lost, "
            f"or the image was windowed. {_EXPORT}",
        )
        return
    if fraction_of(850, 1150) > _SOFT_TISSUE and fraction_of(_LOWEST, -150) < 5e-4:
        yield (
            *("error", "hounsfield"),
            f"soft tissue lies near +1000 and nothing below -150 (lowest {low}): the intercept "
            f"(usually -1024) is lost. {_EXPORT}",
        )
        return
    if (
        fraction_of(850, 1150) > 0.02
        and fraction_of(1200, 32767) < 1e-3
        and fraction_of(_LOWEST, -150) > 5e-4
    ):
        yield (
            *("error", "hounsfield"),
            "air lies near +1000 and nothing above it, bone is negative: the CT is inverted. "
            f"{_EXPORT}",
        )
        return
    yield from _ends(counts, low, high, total)
    if fraction_of(4000, 32767) > 0.01:
        yield (
            *("error", "hounsfield"),
            f"{fraction_of(4000, 32767):.0%} of the voxels are above 4000, more than metal could "
            f"fill: the slope is wrong. {_EXPORT}",
        )
    elif fraction_of(200, 32767) < 1e-4:
        yield (
            *("warning", "hounsfield"),
            f"hardly a voxel is above 200 (highest {high}): no bone? The slope is wrong, or no "
            f"spine in the field of view. {_EXPORT}",
        )


def _padding(counts: np.ndarray) -> int | None:
    """The lowest value, where it is below air, frequent and stands alone."""
    first, second = np.flatnonzero(counts)[:2]
    alone = second - first >= 50 and counts[first] > 0.002 * counts.sum()
    return int(first) + _LOWEST if alone and first + _LOWEST < -1050 else None


def _ends(counts: np.ndarray, low: int, high: int, total: int) -> Iterator[tuple[str, str, str]]:
    """Clipped ends, and air in the wrong place."""
    clipped = []
    if low > -900 and counts[low - _LOWEST] > 0.02 * total:
        clipped.append(f"at {low} below")
    if high < 2000 and counts[high - _LOWEST] > 0.01 * total:
        clipped.append(f"at {high} above")
    if clipped:
        yield (
            *("warning", "hounsfield"),
            f"values are clipped {' and '.join(clipped)}: the image was windowed. Windows of the "
            f"config beyond that show nothing more. {_EXPORT}",
        )
        return
    dark = counts[: -150 - _LOWEST].astype(float)
    peak = np.convolve(dark, np.ones(51), "same")
    at = int(np.argmax(peak)) + _LOWEST
    if peak.max() > 0.03 * total and not -1080 <= at <= -650:  # up to lung
        yield (
            *("warning", "hounsfield"),
            f"the peak of air lies at {at}, expected near -1000: slope or intercept is wrong. "
            f"{_EXPORT}",
        )
