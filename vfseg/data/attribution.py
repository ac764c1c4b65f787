"""Which vertebra a fracture belongs to, and from how much of it on the vertebra is fractured."""

import numpy as np
from scipy import ndimage

from vfseg.data.box import bounding_box, grown

ATTRIBUTION_MARGIN_MM = 2.0
"""A fracture belongs to a vertebra where it lies within this distance of its mask."""

FRACTURED_MM3 = 20.0
"""A vertebra is fractured from this volume of fractures on that belong to it."""


def attribute(shown: np.ndarray, owners: np.ndarray | None, voxel_spacing: float) -> np.ndarray:
    """The part of the fracture voxels that belongs to the crop's own vertebra.

    A voxel belongs to the nearest vertebra mask, if that lies within `ATTRIBUTION_MARGIN_MM`.
    The box does not decide: fractures of the neighbours lie in it as well. Without a label map
    (boxes only) nothing better is known, and all that the crop shows counts.

    Args:
        shown: fracture voxels of the crop, bool `d h w`.
        owners: 1 this vertebra, 2 another one, 0 none, `d h w`; None without a label map.
        voxel_spacing: mm.
    """
    if owners is None or not shown.any():
        return shown
    reach = int(np.ceil(ATTRIBUTION_MARGIN_MM / voxel_spacing))
    box = grown(bounding_box(shown), (reach,) * 3, shown.shape)
    own, other = (
        ndimage.distance_transform_edt(owners[box] != owner, sampling=voxel_spacing)
        if (owners[box] == owner).any()
        else np.inf
        for owner in (1, 2)
    )
    belongs = np.zeros_like(shown)
    belongs[box] = shown[box] & (own <= np.minimum(other, ATTRIBUTION_MARGIN_MM))
    return belongs
