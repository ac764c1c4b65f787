"""The floor under every PR-AUC: a threshold on the CT values alone."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vfseg.data.probability import BINS
from vfseg.evaluation.metrics import average_precision, count_by_truth, prevalence

_LOWEST = -32_768  # int16: one bin per HU
_THRESHOLDS = np.linspace(-200.0, 1300.0, 50)


class HounsfieldFloor(NamedTuple):
    """The best single HU threshold.

    Attributes:
        pr_auc: its average precision, in [0, 1].
        hounsfield: the threshold, HU.
        direction: "bright" (HU >= threshold) or "dark" (HU <= threshold).
    """

    pr_auc: float
    hounsfield: float
    direction: str


@dataclass(eq=False)
class HounsfieldHistogram:
    """Additive counts of voxels by truth and CT value.

    Attributes:
        counts: int64 "2 65536", negatives first, one bin per HU from -32768.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros((2, BINS), np.int64))

    def add(self, ct: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> None:
        """Counts more voxels; the region must be that of the model's own metrics.

        Args:
            ct: int16 HU, any shape of at least one axis.
            truth: same shape; whatever is not 0 is positive.
            where: boolean, same shape: only these voxels count.

        Raises:
            ValueError: shapes differ, or the CT is not int16.
        """
        if ct.dtype != np.int16:
            raise ValueError(f"CT values must be int16 HU, not {ct.dtype}")
        self.counts += count_by_truth(ct, truth, where, lambda hu: hu.astype(np.int32) - _LOWEST)

    def __add__(self, other: "HounsfieldHistogram") -> "HounsfieldHistogram":
        return HounsfieldHistogram(self.counts + other.counts)

    @property
    def prevalence(self) -> float | None:
        """Fraction of positive voxels in [0, 1]; None where nothing was counted."""
        return prevalence(self.counts)


def hu_threshold_floor(histogram: HounsfieldHistogram) -> HounsfieldFloor | None:
    """PR-AUC of the best of 50 HU thresholds, by the code that scores the model.

    The thresholds are evenly spaced from -200 to 1300 HU, fat to dense cortex. They are the same
    for every cohort, so that floors compare, and they resolve the tails, where quantiles of the
    region would pile up in soft tissue. Each is tried as "bright" and as "dark" (its binary mask
    is the score), and the best is chosen on the very data it is scored on, which favours the
    floor.

    Args:
        histogram: voxels of all cases.

    Returns:
        The best of the 100 binary scorers (ties: the lower threshold, bright first), or None
        without positives.
    """
    if not histogram.counts[1].any():
        return None
    best = HounsfieldFloor(-1.0, 0.0, "")
    for threshold in _THRESHOLDS:
        # Bins are whole HU: bright starts at the first one at or above, dark ends at or below.
        bright_from = int(np.ceil(threshold)) - _LOWEST
        dark_below = int(np.floor(threshold)) - _LOWEST + 1
        for direction, cut in (("bright", bright_from), ("dark", dark_below)):
            two_bins = np.add.reduceat(histogram.counts, [0, cut], axis=1)
            rising = two_bins if direction == "bright" else two_bins[:, ::-1]
            value = float(average_precision(rising))
            if value > best.pr_auc:
                best = HounsfieldFloor(value, float(threshold), direction)
    return best
