"""What a prediction will take, said before it begins."""

import numpy as np

from vfseg.data.geometry import Geometry
from vfseg.data.levels import LEVELS
from vfseg.inference.model import Model

# Measured on two cores by `benchmarks/inference.py`; elsewhere good for the order of magnitude.
_VOXELS_A_SECOND = 25e6  # read, resampled, written in two files
_OPERATIONS_A_SECOND = 20e9  # of the network, a core
_FIXED_SECONDS = 12.0  # compilation, pictures
_FIXED_BYTES = 340e6  # compiled programs, slabs, pictures
_BYTES_A_FEATURE = 70  # of each voxel that goes through the network, at its finest scale


def estimate(geometry: Geometry, model: Model) -> tuple[float, float]:
    """Seconds and bytes of host memory that the prediction of a CT will take, at most.

    All levels from T4 to L5 are counted, and a CT that has to be unpacked. An accelerator does the
    work of the network in no time to speak of, and it is counted all the same.

    Args:
        geometry: of the CT.
        model: what predicts it.
    """
    crop, views = model.prepare.crop_shape, len(model.predictor.views)
    voxels, crop_voxels = float(np.prod(geometry.shape)), float(np.prod(crop))
    network = len(LEVELS) * views * model.predictor.operations(model.g_params, crop)
    seconds = _FIXED_SECONDS + voxels / _VOXELS_A_SECOND
    seconds += network / (_OPERATIONS_A_SECOND * model.predictor.crops_side_by_side)
    fused = len(LEVELS) * (2 + 4 + 4 + (8 if views > 1 else 0))  # HU, total, weight, moments
    features = model.predictor.crops_side_by_side * model.finest_features
    of_a_voxel = fused + 4 * views + features * _BYTES_A_FEATURE
    return seconds, _FIXED_BYTES + 2 * voxels + crop_voxels * of_a_voxel
