"""What can be set of how data are read, and the names that settings choose from."""

import dataclasses
from typing import Annotated

from vfseg.data.schemes import SCHEMES
from vfseg.settings import Settings, one_of

PLANE_AXES = {"axial": 0, "coronal": 1, "sagittal": 2}
"""Axis of `d h w` along which the slices of a plane follow each other."""

SPLITS = ("train", "validation", "test")
"""Parts of a data set, in the order in which they are used."""

SCHEME = one_of(("", *SCHEMES), f"one of {', '.join(SCHEMES)}, or empty")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpineReading(Settings):
    """How label maps and box files are read.

    Attributes:
        vertebra_scheme: label scheme, "" lets the anatomy decide.
        boxes_inclusive: box files name the last voxel, not the one after it.
    """

    vertebra_scheme: Annotated[str, SCHEME] = ""
    boxes_inclusive: bool = False
