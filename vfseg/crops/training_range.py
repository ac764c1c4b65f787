"""Whether a CT is of the kind that a model was trained on: how far apart its voxels may be."""

from vfseg.data.geometry import Geometry

MOST_STEPS = 2.5
"""Steps of the crops from one voxel of a CT to the next. A model learns from CTs at about the
spacing of its crops; with 1.25 mm those of 3 mm are still among them, those of 3.125 mm are not.
From here on more than half of what it sees is interpolated."""


def outside_training(geometry: Geometry, crop_spacing: float) -> str | None:
    """What of a CT lies outside the range of training, in words; None where nothing does.

    Args:
        geometry: of the CT.
        crop_spacing: of the crops of the model, mm.
    """
    widest = float(geometry.voxel_spacing.max())
    if widest < MOST_STEPS * crop_spacing:
        return None
    return f"slices {widest:.3g} mm apart"
