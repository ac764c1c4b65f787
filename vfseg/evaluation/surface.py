"""Distances between the surfaces of two masks, in mm.

A surface is the set of the voxels of a mask that have a face neighbour outside of it, taken at
their centres (as MONAI and medpy do; no surface elements are fitted). Nearest neighbours come from
a tree over these points: exact, and of the size of the surfaces rather than of the volume.

References:
    Nikolov et al. (2021), "Clinically applicable segmentation of head and neck anatomy for
    radiotherapy: deep learning algorithm development and validation study", JMIR 23(7) (surface
    Dice at a tolerance).
    Huttenlocher et al. (1993), "Comparing images using the Hausdorff distance", IEEE TPAMI 15.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from vfseg.data.box import bounding_box, is_empty, start_of

TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class SurfaceAgreement:
    """How two surfaces agree.

    Attributes:
        hd95_mm: 95th percentile of the distances from either surface to the other, the larger of
            the two; None where a mask is empty: no distance is defined.
        near: points of both surfaces that lie within `TOLERANCE_MM` of the other.
        points: points of both surfaces.
    """

    hd95_mm: float | None
    near: int
    points: int

    @property
    def surface_dice(self) -> float | None:
        """Normalised surface Dice = near / points; None where both masks are empty."""
        return self.near / self.points if self.points else None


def surface_points(mask: np.ndarray, voxel_spacing: np.ndarray) -> np.ndarray:
    """Centres of the voxels on the surface of a mask, [n 3] in mm from voxel (0, 0, 0).

    Args:
        mask: bool `d h w`; beyond its edges nothing is set.
        voxel_spacing: (d, h, w) mm.
    """
    box = bounding_box(mask)
    if is_empty(box):
        return np.zeros((0, 3))
    part = mask[box]
    surface = part & ~ndimage.binary_erosion(part)
    return (np.argwhere(surface) + start_of(box)) * np.asarray(voxel_spacing, np.float64)


def compare_surfaces(
    predicted: np.ndarray, truth: np.ndarray, voxel_spacing: np.ndarray
) -> SurfaceAgreement:
    """Compares the surfaces of two masks.

    Args:
        predicted: bool `d h w`.
        truth: bool, same shape.
        voxel_spacing: (d, h, w) mm.
    """
    a, b = (surface_points(mask, voxel_spacing) for mask in (predicted, truth))
    if not (len(a) and len(b)):
        return SurfaceAgreement(None, 0, len(a) + len(b))
    from_a, from_b = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
    # 10 picometres more, so that a distance of exactly the tolerance counts however it is rounded.
    near = sum(int((distance <= TOLERANCE_MM + 1e-8).sum()) for distance in (from_a, from_b))
    hd95 = max(np.percentile(from_a, 95), np.percentile(from_b, 95))
    return SurfaceAgreement(float(hd95), near, len(a) + len(b))
