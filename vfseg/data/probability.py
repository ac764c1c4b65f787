"""The 65,536 codes in which probabilities are stored, counted and compared.

`probability.nii.gz` holds them as uint16, the histograms of the metrics have one bin for each, and
a mask is cut by comparing them: so every figure can be computed again from the files.
"""

import numpy as np

BINS = 65_536
SLOPE = np.nextafter(np.float32(1 / (BINS - 1)), np.float32(0))
"""Score of code 1, as in the header of the file: one step below float32(1/65535), so that no reader
sees a probability above 1."""


def score_bin(scores: np.ndarray) -> np.ndarray:
    """Bin of each score: round(65535 score), ties to even.

    Args:
        scores: probabilities in [0, 1], any float dtype and shape.

    Returns:
        int32 bins in [0, 65535], of the same shape.

    Raises:
        ValueError: a score is NaN or outside [0, 1].

    >>> score_bin(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 32768, 65535]
    """
    scores = np.asarray(scores)
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):  # NaN fails both
        raise ValueError(
            f"scores must be probabilities in [0, 1] without NaN; found {scores.min()} "
            f"to {scores.max()} (logits have to go through the sigmoid first)"
        )
    return np.rint(scores * np.float32(BINS - 1)).astype(np.int32)


def code_score(codes: np.ndarray) -> np.ndarray:
    """Score of each code, as it is read from `probability.nii.gz`: float32(code) x `SLOPE`.

    `score_bin` gives the code back.

    Args:
        codes: integers in [0, 65535], any shape.

    Returns:
        float32 scores in [0, 1], of the same shape.

    >>> code_score(np.array([0, 65535]))
    array([0.       , 0.9999999], dtype=float32)
    """
    return np.asarray(codes).astype(np.float32) * SLOPE


def reaches(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Predicted mask: bin of the score >= bin of the threshold.

    The one rule by which masks are written and voxels are counted; it differs from
    `scores >= threshold` by at most half a bin (8e-6), and not at all on stored maps.

    Args:
        scores: probabilities in [0, 1].
        threshold: probability in [0, 1].

    Returns:
        Boolean mask of the same shape.
    """
    return score_bin(scores) >= score_bin(np.asarray(threshold))
