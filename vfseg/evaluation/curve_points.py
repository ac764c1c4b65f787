"""Points of the curves behind PR-AUC and ROC-AUC, few enough for a picture."""

import numpy as np

_STEPS = 100


def pr_points(counts: np.ndarray) -> list[list[float]]:
    """The precision-recall curve as [recall, precision], from the highest score down.

    Args:
        counts: of all cases, "2 bins", negatives first, bins in rising order of score.

    Returns:
        At most about 100 points, recall in rising order; none where there is no positive.

    >>> pr_points(np.array([[6, 2, 0], [0, 1, 3]]))
    [[0.75, 1.0], [1.0, 0.6666666666666666]]
    """
    wrong, found = np.cumsum(np.asarray(counts, np.float64)[:, ::-1], axis=-1)
    if not found[-1] > 0:
        return []
    own = found > np.concatenate([[0], found[:-1]])  # bins at which the recall rises
    recall, precision = (found / found[-1])[own], (found / np.maximum(found + wrong, 1))[own]
    return np.stack([recall, precision], axis=1)[_some(recall)].tolist()


def roc_points(counts: np.ndarray) -> list[list[float]]:
    """The ROC curve as [1 - specificity, sensitivity], from (0, 0) to (1, 1).

    Args:
        counts: of all cases, "2 k", negatives first, scores rising.

    Returns:
        At most about 200 points, both in rising order; none where a class is empty.

    >>> roc_points(np.array([[1, 1, 0], [0, 1, 1]]))
    [[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]]
    """
    falling = np.cumsum(np.asarray(counts, np.float64)[:, ::-1], axis=-1)
    if not (falling[:, -1] > 0).all():
        return []
    wrong, found = np.concatenate([np.zeros((2, 1)), falling / falling[:, -1:]], axis=1)
    kept = np.union1d(_some(wrong), _some(found))
    return np.stack([wrong, found], axis=1)[kept].tolist()


def _some(rising: np.ndarray) -> np.ndarray:
    """Indices of the first and last values, and of about one for each hundredth between them."""
    last = len(rising) - 1
    steps = np.searchsorted(rising, np.linspace(0, 1, _STEPS + 1))
    return np.unique(np.concatenate([[0], steps.clip(0, last), [last]]))
