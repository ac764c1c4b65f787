"""Pooled voxel and slice metrics from histograms of scores, in a stream.

Scores lie in [0, 1] and are counted in 65,536 bins, bin = round(65535 score), apart for negative
and positive elements. The bins are the codes in which `probability.nii.gz` is stored, so every
figure here can be computed again from the files. Histograms of cases add up; a metric is a
function of the sum, never a mean of means. Against the raw scores the average precision errs by
less than 1e-4 as long as the scores spread over more than a few hundred bins.

Array functions take a leading `...` (cases, bootstrap resamples) and give NaN where a metric is
undefined; the methods of `ScoreHistogram` give None there, which the summary writes as null.

References:
    Davis and Goadrich (2006), "The relationship between precision-recall and ROC curves", ICML.
    Dice (1945), "Measures of the amount of ecologic association between species", Ecology.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vfseg.data.probability import BINS, score_bin
from vfseg.evaluation.ratio import ratio

THRESHOLD_CANDIDATES = 1025
_SLAB_ELEMENTS = 1 << 20  # bincount works on int64: 8 MB at a time


def count_by_truth(
    values: np.ndarray,
    truth: np.ndarray,
    where: np.ndarray | None,
    bin_of: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Counts elements by truth and bin, in slabs along the first axis, without a full-size copy.

    Args:
        values: any shape of at least one axis.
        truth: same shape; whatever is not 0 is positive (instance ids may stay).
        where: boolean, same shape: only these elements count. None: all.
        bin_of: maps values to integer bins in [0, 65535].

    Returns:
        int64 counts "2 65536", negatives first.

    Raises:
        ValueError: the shapes differ.
    """
    shapes = {values.shape, truth.shape} | (set() if where is None else {where.shape})
    if len(shapes) > 1:
        raise ValueError(f"values, truth and region must have one shape, found {sorted(shapes)}")
    counts = np.zeros(2 * BINS, np.int64)
    step = max(1, _SLAB_ELEMENTS * len(values) // max(1, values.size))
    for start in range(0, len(values), step):
        slab = np.s_[start : start + step]
        kept = np.s_[...] if where is None else where[slab].astype(bool)
        positive = truth[slab][kept] != 0
        bins = bin_of(values[slab][kept]) + np.int32(BINS) * positive
        counts += np.bincount(bins.ravel(), minlength=2 * BINS)
    return counts.reshape(2, BINS)


def average_precision(histograms: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve, step-wise: sum_k (R_k - R_{k-1}) P_k.

    k runs over the bins from the highest score down; precision and recall at k count everything
    in bin k and above. No interpolation, as `sklearn.metrics.average_precision_score`. A random
    scorer gets the prevalence.

    Args:
        histograms: counts "... 2 bins", negatives first, bins in rising order of score (any
            number of bins, so bins without positives may be merged first).

    Returns:
        Values in [0, 1], shape "...", NaN where there is no positive.
    """
    falling = histograms[..., ::-1]
    found = falling[..., 1, :]
    true_positives = np.cumsum(found, axis=-1, dtype=np.float64)
    predicted = np.cumsum(falling[..., 0, :], axis=-1, dtype=np.float64)
    predicted += true_positives
    # Where nothing is predicted yet nothing has been found either: that bin adds 0.
    precision = np.divide(true_positives, predicted, out=true_positives, where=predicted > 0)
    total = found.sum(axis=-1, dtype=np.float64)
    return ratio(np.einsum("...k,...k->...", precision, found.astype(np.float64)), total)


def prevalence(counts: np.ndarray) -> float | None:
    """Fraction of positives: what a random scorer's average precision comes to.

    Args:
        counts: "2 bins", negatives first.

    Returns:
        Value in [0, 1]; None where nothing was counted.
    """
    total = int(counts.sum())
    return int(counts[1].sum()) / total if total else None


def lift(average_precision: float | None, prevalence: float | None) -> float | None:
    """How many times better than a random scorer, whose average precision is the prevalence.

    >>> lift(0.5, 0.01), lift(0.5, 0.0)
    (50.0, None)
    """
    return average_precision / prevalence if average_precision is not None and prevalence else None


def merge_bins(histograms: np.ndarray) -> np.ndarray:
    """Merges each bin without positives into the next lower bin that has some.

    `average_precision` moves only at bins with positives, so its value stays the same, while
    sparse positives leave few bins: this is what makes its bootstrap cheap.

    Args:
        histograms: counts "cases 2 bins", negatives first.

    Returns:
        Counts "cases 2 k", k = number of bins with a positive in any case. Negatives below the
        lowest of them are gone.
    """
    occupied = np.flatnonzero(histograms[..., 1, :].any(axis=0))
    if not occupied.size:
        return histograms[..., :1]
    return np.add.reduceat(histograms, occupied, axis=-1)


def confusion(histograms: np.ndarray, threshold: float) -> np.ndarray:
    """Counts at one threshold.

    Args:
        histograms: counts "... 2 65536", negatives first.
        threshold: probability in [0, 1]; elements that reach it (see `reaches`) are predicted.

    Returns:
        Counts "... 4": true positives, false positives, false negatives, true negatives.
    """
    cut = int(score_bin(np.asarray(threshold)))
    above = histograms[..., cut:].sum(axis=-1)
    below = histograms[..., :cut].sum(axis=-1)
    return np.stack([above[..., 1], above[..., 0], below[..., 1], below[..., 0]], axis=-1)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice = 2 TP / (2 TP + FP + FN), NaN where the reference is empty.

    Args:
        counts: "... 4" as `confusion` gives them.

    Returns:
        Values in [0, 1], shape "...".

    >>> float(dice(np.array([2, 1, 1, 96])))
    0.6666666666666666
    """
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return np.where(tp + fn > 0, ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union TP / (TP + FP + FN), NaN where the reference is empty.

    Args:
        counts: "... 4" as `confusion` gives them.

    Returns:
        Values in [0, 1], shape "...".
    """
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return np.where(tp + fn > 0, ratio(tp, tp + fp + fn), np.nan)


def precision(counts: np.ndarray) -> np.ndarray:
    """Precision TP / (TP + FP), NaN where nothing is predicted.

    Args:
        counts: "... 4" as `confusion` gives them.

    Returns:
        Values in [0, 1], shape "..."; 0 where the reference is empty and something is predicted.
    """
    tp, fp, _, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fp)


def recall(counts: np.ndarray) -> np.ndarray:
    """Recall TP / (TP + FN), NaN where the reference is empty.

    Args:
        counts: "... 4" as `confusion` gives them.

    Returns:
        Values in [0, 1], shape "...".
    """
    tp, _, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fn)


OVERLAP_METRICS = {"dice": dice, "iou": iou, "precision": precision, "recall": recall}


class Threshold(NamedTuple):
    """Outcome of `ScoreHistogram.best_threshold`.

    Attributes:
        value: probability in (0, 1].
        dice: pooled Dice at that threshold, on the data that chose it.
        on_edge: True where the best candidate is the lowest or the highest one.
    """

    value: float
    dice: float
    on_edge: bool


@dataclass(eq=False)
class ScoreHistogram:
    """Additive state of the voxel and slice metrics of one or more cases.

    Attributes:
        counts: int64 "2 65536", negatives first: elements by truth and by bin of the score.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros((2, BINS), np.int64))

    def add(self, scores: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> None:
        """Counts more elements, in slabs along the first axis; nothing of the size is copied.

        Args:
            scores: probabilities in [0, 1], any shape of at least one axis.
            truth: same shape; whatever is not 0 is positive (instance ids may stay).
            where: boolean, same shape: only these elements count; others may hold anything.

        Raises:
            ValueError: shapes differ, or a score that counts is NaN or outside [0, 1].
        """
        self.counts += count_by_truth(scores, truth, where, score_bin)

    def __add__(self, other: "ScoreHistogram") -> "ScoreHistogram":
        return ScoreHistogram(self.counts + other.counts)

    @property
    def prevalence(self) -> float | None:
        """Fraction of positive elements in [0, 1]; None where nothing was counted."""
        return prevalence(self.counts)

    def average_precision(self) -> float | None:
        """Pooled PR-AUC, see the function `average_precision`; None without positives."""
        return number(average_precision(self.counts))

    def overlap(self, threshold: float) -> dict[str, float | None]:
        """Dice, IoU, precision and recall at one threshold; None where undefined.

        Args:
            threshold: probability in [0, 1].

        Returns:
            One entry for each of `OVERLAP_METRICS`.
        """
        counts = confusion(self.counts, threshold)
        return {name: number(metric(counts)) for name, metric in OVERLAP_METRICS.items()}

    def best_threshold(self) -> Threshold | None:
        """Threshold of the highest pooled Dice; ties go to the lower.

        Candidates are 1,025 evenly spaced quantiles (lowest and highest score included) of the
        scores after positives and negatives have been weighted to half each. Plain quantiles of
        all scores would spend 99.8 % of the candidates on background at a prevalence of 0.002.
        Weighted, two neighbouring candidates hold at most 1/512 of the positives between them,
        so at most 1/256 of Dice is lost against a search over every bin; and candidates reach
        below the lowest positive, so an optimum on the edge means something. A candidate of 0
        is raised to the first bin: 0 is what voxels outside every crop hold.

        Returns:
            The threshold, or None where there is no positive to choose by.
        """
        class_totals = self.counts.sum(axis=1)
        if class_totals[1] == 0:
            return None
        present = class_totals > 0
        fractions = np.cumsum(self.counts[present], axis=1) / class_totals[present, None]
        levels = np.linspace(0.0, 1.0, THRESHOLD_CANDIDATES)
        weighted = fractions.mean(axis=0)
        quantiles = np.searchsorted(weighted, levels * weighted[-1])
        quantiles[0] = np.flatnonzero(self.counts.any(axis=0))[0]
        candidates = np.unique(np.maximum(quantiles, 1))

        at_least = np.cumsum(self.counts[:, ::-1], axis=1)[:, ::-1][:, candidates]
        scores = 2 * at_least[1] / (at_least[1] + at_least[0] + class_totals[1])
        best = int(np.argmax(scores))
        return Threshold(
            value=float(candidates[best] / (BINS - 1)),
            dice=float(scores[best]),
            on_edge=best in (0, len(candidates) - 1),
        )


def number(value: np.ndarray | float) -> float | None:
    """A metric as the summary holds it.

    >>> number(np.float64("nan")) is None
    True
    """
    return None if np.isnan(value) else float(value)


def three_decimals(value: float | None) -> str:
    """A figure in a table of the terminal.

    >>> three_decimals(0.12345), three_decimals(None)
    ('0.123', '-')
    """
    return "-" if value is None else f"{value:.3f}"
