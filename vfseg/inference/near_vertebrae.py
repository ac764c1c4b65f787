"""Where a map may show anything: the labelled vertebrae and their surroundings.

A crop shows parts of its neighbours and of soft tissue, and at the end of the labelled spine a
vertebra that nobody labelled. What a map says there belongs to no vertebra, and nobody can use it.
"""

import numpy as np
from scipy import ndimage

from vfseg.data.attribution import SHOWN_MARGIN_MM
from vfseg.data.geometry import Geometry
from vfseg.data.resample import sample_nearest
from vfseg.data.spine import Spine


def near_vertebrae(
    spine: Spine,
    geometry: Geometry,
    origin: tuple[int, int, int],
    shape: tuple[int, ...],
    voxel_spacing: float,
) -> np.ndarray:
    """Voxels of a case grid within `SHOWN_MARGIN_MM` of a vertebra, or in its box, bool `d h w`.

    Args:
        spine: of the case; where only boxes are known, they are the vertebrae, without a margin.
        geometry: of its CT.
        origin: case-grid index of the first voxel.
        shape: of the part of the case grid.
        voxel_spacing: of the case grid, mm.
    """
    step = voxel_spacing / geometry.voxel_spacing
    first = np.asarray(origin) * step
    if spine.labels is None:
        near = np.zeros(shape, bool)
        places = [start + pace * np.arange(n) for start, pace, n in zip(first, step, shape)]
        for vertebra in spine.vertebrae:
            within = [
                (place >= low - 0.5) & (place < high - 0.5)
                for place, low, high in zip(places, vertebra.start, vertebra.stop)
            ]
            near |= within[0][:, None, None] & within[1][:, None] & within[2]
        return near
    ids = sample_nearest(spine.labels.array, first, step, shape)
    vertebrae = np.isin(ids, [vertebra.label for vertebra in spine.vertebrae])
    if not vertebrae.any():  # none is as large as a voxel
        return vertebrae
    away = ndimage.distance_transform_edt(~vertebrae, sampling=voxel_spacing)
    return np.asarray(away <= SHOWN_MARGIN_MM)
