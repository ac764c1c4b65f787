"""Confidence intervals from a bootstrap over patients.

Patients are the unit: voxels, slices and vertebrae of one patient are not independent. Every
metric is a function of counts that add up over patients, so a resample is a row of
multiplicities times the table of counts, and 1,000 resamples are one matrix product. The same
seed and number of patients give the same resamples: differences between two models on the same
patients are paired by construction.

References:
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 13 and 14.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vfseg.data.patients import person
from vfseg.evaluation.metrics import (
    OVERLAP_METRICS,
    ScoreHistogram,
    average_precision,
    confusion,
    merge_bins,
    number,
)

RESAMPLES = 1000
MINIMUM_PATIENTS = 5
_CHUNK_ELEMENTS = 4 << 20  # 32 MB of float64 counts at a time

Metric = Callable[[np.ndarray], np.ndarray]


def resample_counts(patients: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each patient is drawn, with replacement, in each resample.

    Args:
        patients: number of patients, at least 1.
        seed: of the draw.
        resamples: number of rows.

    Returns:
        int64 "resamples patients"; every row sums to `patients`.
    """
    draws = np.random.default_rng(seed).integers(patients, size=(resamples, patients))
    counts = np.zeros((resamples, patients), np.int64)
    np.add.at(counts, (np.arange(resamples)[:, None], draws), 1)
    return counts


def resampled_values(
    metric: Metric, states: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> np.ndarray:
    """The metric on every resample of the patients.

    Args:
        metric: maps counts "r ..." to values "r", NaN where undefined.
        states: additive counts "patients ...".
        seed: of the draw; the same seed and number of patients give the same resamples.
        resamples: number of resamples.

    Returns:
        float64 "resamples".
    """
    flat = states.reshape(len(states), -1).astype(np.float64)  # exact below 2^53
    draws = resample_counts(len(states), seed, resamples).astype(np.float64)
    rows = max(1, _CHUNK_ELEMENTS // max(1, flat.shape[1]))
    chunks = [
        metric((draws[start : start + rows] @ flat).reshape(-1, *states.shape[1:]))
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(chunks)


def often_defined(values: np.ndarray) -> np.ndarray | None:
    """The values of the resamples on which a metric is defined, where these are nearly all.

    It is undefined where nobody was drawn on whom it bears (no positive, say). Where that is more
    than one resample in sixteen, fewer than three patients bear on the metric: an interval would
    show these few again and again.

    Args:
        values: float64 "resamples", NaN where undefined.

    Returns:
        The values that are defined; None where more than one in sixteen is not.
    """
    defined = values[~np.isnan(values)]
    return None if 16 * (len(values) - len(defined)) > len(values) else defined


def interval(metric: Metric, states: np.ndarray, seed: int) -> tuple[float, float] | None:
    """95 % percentile interval of a metric over 1,000 resamples of patients.

    Resamples on which the metric is undefined are left out, see `often_defined`.

    Args:
        metric: maps counts "r ..." to values "r", NaN where undefined.
        states: additive counts "patients ...".
        seed: of the draw.

    Returns:
        Lower and upper bound; None under 5 patients, where an interval would be a pretence, and
        where fewer than about three bear on the metric.
    """
    if len(states) < MINIMUM_PATIENTS:
        return None
    values = resampled_values(metric, states, seed)
    defined = often_defined(values)
    if defined is None:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def sum_by_patient(states: np.ndarray, patients: Sequence[str]) -> np.ndarray:
    """Adds up the counts of cases that are one patient.

    Args:
        states: additive counts "cases ...".
        patients: patient of each case, in any spelling (see `person`).

    Returns:
        Counts "patients ...", in order of first appearance.

    >>> sum_by_patient(np.array([[1], [2], [4]]), ["P01", "b", "p1"]).tolist()
    [[5], [2]]
    """
    people = [person(patient) for patient in patients]
    order = {name: row for row, name in enumerate(dict.fromkeys(people))}
    summed = np.zeros((len(order), *states.shape[1:]), states.dtype)
    np.add.at(summed, [order[name] for name in people], states)
    return summed


def estimate(
    metric: Metric, states: np.ndarray, patients: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """A pooled metric as `summary.json` holds it.

    Args:
        metric: maps counts "r ..." to values "r", NaN where undefined.
        states: additive counts "cases ...".
        patients: patient of each case.
        seed: of the bootstrap.

    Returns:
        {"value": number or None, "ci95": [low, high] or None, "n": patients}.
    """
    per_patient = sum_by_patient(states, patients)
    value = number(metric(per_patient.sum(axis=0, keepdims=True))[0])
    bounds = None if value is None else interval(metric, per_patient, seed)
    return {"value": value, "ci95": bounds and list(bounds), "n": len(per_patient)}


def pooled_metrics(
    histograms: Sequence[ScoreHistogram],
    patients: Sequence[str],
    threshold: float,
    *,
    seed: int,
) -> dict[str, Any]:
    """Slice or voxel part of the summary: every pooled metric of one level, with intervals.

    Args:
        histograms: one for each case.
        patients: patient of each case.
        threshold: probability, chosen on other data.
        seed: of the bootstrap; all metrics share the resamples.

    Returns:
        "dice", "iou", "precision", "recall", "pr_auc" (see `estimate`) and "prevalence".
    """
    states = np.stack([histogram.counts for histogram in histograms])
    counts = confusion(states, threshold)
    summary: dict[str, Any] = {
        name: estimate(metric, counts, patients, seed=seed)
        for name, metric in OVERLAP_METRICS.items()
    }
    summary["pr_auc"] = estimate(average_precision, merge_bins(states), patients, seed=seed)
    summary["prevalence"] = sum(histograms, ScoreHistogram()).prevalence
    return summary
