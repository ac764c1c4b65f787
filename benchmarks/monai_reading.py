"""How the tutorials of MONAI bring a CT, and what is marked in it, before a network."""

from collections.abc import Mapping
from typing import Any

VOXEL_SPACING = 1.25  # mm
HU_WINDOW = (-100, 1800)


def reading(modes: Mapping[str, str]) -> list[Any]:
    """Transforms: load, turn to RAS, resample, scale the intensities of the image.

    Args:
        modes: key, among them "image", -> how it is interpolated: "bilinear" or "nearest".
    """
    from monai.transforms import (
        EnsureChannelFirstd,
        LoadImaged,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    keys = list(modes)
    return [
        LoadImaged(keys),
        EnsureChannelFirstd(keys),
        Orientationd(keys, axcodes="RAS", labels=None),
        Spacingd(keys, pixdim=(VOXEL_SPACING,) * 3, mode=list(modes.values())),
        ScaleIntensityRanged("image", *HU_WINDOW, 0.0, 1.0, clip=True),
    ]
