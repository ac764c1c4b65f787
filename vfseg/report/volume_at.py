"""The volume of a map at every threshold that the slider of a page can stand at."""

import numpy as np

from vfseg.data.probability import BINS, score_bin
from vfseg.inference.boxed_map import ProbabilityMap

_STEPS = 100


def volume_at(
    probability: ProbabilityMap, threshold: float, voxel_ml: float
) -> tuple[list[float], list[float]]:
    """Thresholds from 0.01 to 1, the model's among them, and the volume of the mask at each.

    Voxels are counted in the whole map at full resolution, by the rule of `reaches`; a voxel of 0
    never counts.

    Args:
        probability: `d h w` in [0, 1].
        threshold: of the model.
        voxel_ml: volume of a voxel.

    Returns:
        The thresholds, rising, and the volumes in mL.
    """
    counts = np.zeros(BINS, np.int64)
    for plane in probability:
        counts += np.bincount(score_bin(plane).ravel(), minlength=BINS)
    counts[0] = 0
    above = counts[::-1].cumsum()[::-1]
    thresholds = sorted({threshold, *(step / _STEPS for step in range(1, _STEPS + 1))})
    volumes = above[score_bin(np.array(thresholds))] * voxel_ml
    return thresholds, volumes.tolist()
