"""Does a map say 0.3 where three in ten voxels are fractured? Reliability, ECE, temperature.

All of it comes from the histograms of the voxel metrics, without another look at a map. Of sparse
findings nearly all voxels score near 0, where anything is calibrated: the expected calibration
error over all voxels is small whatever the model does. So it stands beside the error over those
voxels alone that lie above the lowest of the 15 bins, where something is suspected.

References:
    Guo et al. (2017), "On calibration of modern neural networks", ICML (ECE, temperature).
"""

import numpy as np
from scipy.special import expit, log_expit, logit

from vfseg.data.probability import BINS
from vfseg.evaluation.ratio import ratio

RELIABILITY_BINS = 15
_TEMPERATURES = (0.05, 20.0)


def bin_logits() -> np.ndarray:
    """Logit of each of the 65,536 codes; the ends stand for half a code, so that all are finite."""
    scores = np.arange(BINS) / (BINS - 1)
    half = 0.5 / (BINS - 1)
    return logit(np.clip(scores, half, 1 - half))


def fit_temperature(counts: np.ndarray) -> float | None:
    """Temperature T of the lowest cross-entropy of sigmoid(logit / T).

    Above 1 the map is too sure of itself, below 1 too timid. Ranks, and with them every curve,
    stay as they are.

    Args:
        counts: voxels "2 65536" of validation, negatives first.

    Returns:
        T in [0.05, 20]; None without positives or without negatives.
    """
    if not counts.any(axis=1).all():
        return None
    present = np.flatnonzero(counts.any(axis=0))
    logits, weights = bin_logits()[present], counts[:, present] / counts.sum()

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return -float(weights[0] @ log_expit(-scaled) + weights[1] @ log_expit(scaled))

    from scipy.optimize import minimize_scalar  # a fifth of a second, and training needs it not

    best = minimize_scalar(cross_entropy, bounds=np.log(_TEMPERATURES), method="bounded")
    return float(np.exp(best.x))


def reliability_states(counts: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Additive table of the reliability curve.

    Args:
        counts: voxels "... 2 65536", negatives first.
        temperature: by which the logits are divided.

    Returns:
        float64 "... 3 15": voxels, positives and sum of the scores, by 15 equal bins of the score.
    """
    scores = np.arange(BINS) / (BINS - 1)
    if temperature != 1.0:
        scores = expit(bin_logits() / temperature)
    bins = np.minimum((scores * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    starts = np.searchsorted(bins, np.arange(RELIABILITY_BINS + 1))  # scores rise with the codes
    voxels = counts.sum(axis=-2)
    columns = np.stack([voxels, counts[..., 1, :], voxels * scores], axis=-2)
    sums = np.zeros((*columns.shape[:-1], len(starts)))
    np.cumsum(columns, axis=-1, out=columns)
    sums[..., 1:] = columns[..., starts[1:] - 1]
    sums[..., starts == 0] = 0
    return np.diff(sums, axis=-1)


def calibration_error(states: np.ndarray, lowest: int = 0) -> np.ndarray:
    """ECE = sum over bins of |observed fraction - mean score| x fraction of the voxels.

    Args:
        states: table "... 3 15", see `reliability_states`.
        lowest: first bin that counts.

    Returns:
        Values in [0, 1], shape "...", NaN where no voxel counts.
    """
    voxels, positives, scores = np.moveaxis(states[..., lowest:], -2, 0)
    total = voxels.sum(axis=-1)
    error = np.abs(positives - scores).sum(axis=-1)
    return ratio(error, total)


def suspected_error(states: np.ndarray) -> np.ndarray:
    """ECE over the voxels above the lowest bin: those that score at least 1/15."""
    return calibration_error(states, lowest=1)


def reliability_curve(states: np.ndarray) -> list[list[float]]:
    """[mean score, observed fraction, voxels] of each bin that holds any.

    Args:
        states: table "3 15" of all cases.
    """
    voxels, positives, scores = states
    return [
        [float(s / n), float(p / n), int(n)] for n, p, s in zip(voxels, positives, scores) if n > 0
    ]
