"""What a prediction will take, said before it begins: time, memory, room on the disk."""

import numpy as np

from vfseg.crops.settings import PrepareSettings
from vfseg.data.geometry import Geometry
from vfseg.data.schemes import LEVELS
from vfseg.inference.kernel import SIDE
from vfseg.inference.model import Model

# Measured on two cores by `benchmarks/inference.py`; elsewhere good for the order of magnitude.
_VOXELS_A_SECOND = 25e6  # read, resampled, written in two files
_OPERATIONS_A_SECOND = 20e9  # of the network, a core
_FIXED_SECONDS = 12.0  # compilation, pictures

# Measured by `benchmarks/estimates.py`, as resident bytes of the whole process.
_PROGRAM_BYTES = 390e6  # Python, JAX and the other libraries, an open model
_BYTES_A_FEATURE = 70  # of each voxel that goes through the network, at its finest scale
_KEPT_OF_NETWORK = 0.8  # compiled programs, and what the allocators do not give back
_SLAB_VOXELS, _BYTES_OF_SLABS = 4e6, 60  # resampled, and in the queues of three files
_DRAWING_BYTES = 130e6
_CURVED_MM = 50.0  # by which a spine leaves the straight line to one side
_LISTED = 0.95  # bytes a voxel, while lesions and vertebrae are listed

_PAGE_BYTES = 80 * 2**20  # lists, pictures, meshes twice, and the page, which holds most of them
_PACKED_ELSEWHERE = 200  # voxels outside the crops, a byte of all maps


def estimate(geometry: Geometry, model: Model, *, labelled: bool) -> tuple[float, float]:
    """Seconds, and bytes of host memory of the whole process, that a CT's prediction takes at most.

    All levels from T4 to L5 are counted, and a CT that has to be unpacked. An accelerator does the
    work of the network in no time to speak of, and it is counted all the same.

    Args:
        geometry: of the CT.
        model: what predicts it.
        labelled: whether a label map tells the vertebrae; boxes take no memory.
    """
    crop, predictions = model.prepare.crop_shape, model.predictions
    side_by_side = model.predictor.crops_side_by_side
    voxels, crop_voxels = float(np.prod(geometry.shape)), float(np.prod(crop))
    work = len(LEVELS) * predictions * model.predictor.operations(model.members[0], crop)
    seconds = _FIXED_SECONDS + voxels / _VOXELS_A_SECOND
    seconds += work / (_OPERATIONS_A_SECOND * side_by_side)
    fused = 4 + 4 + 1 + (16 if predictions > 1 else 0)  # total, weight, bits, moments and spread
    held = (
        _PROGRAM_BYTES + (2 + labelled) * voxels + fused * _canvas_voxels(geometry, model.prepare)
    )
    held += crop_voxels * (2 * len(LEVELS) + 4 * predictions)
    network = _BYTES_A_FEATURE * crop_voxels * side_by_side * model.finest_features
    slabs = _BYTES_OF_SLABS * min(voxels, _SLAB_VOXELS)
    maps = 2 * region_voxels(geometry, model.prepare) * (2 if predictions > 1 else 1)
    afterwards = _KEPT_OF_NETWORK * network + maps + max(slabs, _DRAWING_BYTES, _LISTED * voxels)
    return seconds, held + max(network, afterwards)


def _canvas_voxels(geometry: Geometry, prepare: PrepareSettings) -> float:
    """Voxels of the volume in which crops are joined: as if the spine were as long as the CT."""
    size = np.asarray(geometry.shape) * geometry.voxel_spacing / prepare.voxel_spacing
    crop = np.asarray(prepare.crop_shape)
    sides = np.minimum(size, [np.inf, *(_CURVED_MM / prepare.voxel_spacing,) * 2]) + crop
    return float(np.prod(np.ceil(sides / SIDE) * SIDE))


def region_voxels(geometry: Geometry, prepare: PrepareSettings) -> float:
    """Voxels of a CT that lie in crops, at most: as if no two of T4 to L5 overlapped."""
    crop_mm3 = float(np.prod(prepare.crop_shape)) * prepare.voxel_spacing**3
    all_of_it = len(LEVELS) * crop_mm3 / float(np.prod(geometry.voxel_spacing))
    return min(float(np.prod(geometry.shape)), all_of_it)


def result_bytes(geometry: Geometry, prepare: PrepareSettings, predictions: int) -> int:
    """Bytes on the disk that the results of a CT take at most: maps, mask, lists and pictures.

    Two bytes a voxel of the crops and map, two for the numbers of lesions and one for the mask, as
    if nothing could be packed; outside there are zeros.

    Args:
        geometry: of the CT.
        prepare: how crops are cut.
        predictions: of each crop; with several there is a map of the uncertainty.
    """
    maps = 2 if predictions > 1 else 1
    inside = region_voxels(geometry, prepare) * (2 * maps + 2 + 1)
    return round(inside + float(np.prod(geometry.shape)) / _PACKED_ELSEWHERE) + _PAGE_BYTES
