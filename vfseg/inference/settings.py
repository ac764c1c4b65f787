"""What can be set of a prediction."""

import dataclasses
from typing import Annotated

from vfseg.data.settings import PLANE_AXES
from vfseg.settings import Rule, Settings, one_of, subset_of, whole

FUSIONS = ("mean", "centre", "confidence", "vote", "maximum", "product")
"""Rules by which all predictions of a voxel become one value; see `vfseg.inference.fusion`."""

MOST_SHIFT = 8
"""Voxels; a view that is moved further sees another crop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceSettings(Settings, section="inference"):
    """Which views of a crop are predicted, and how they are fused; see `views` and `fusion`.

    Attributes:
        planes: some of axial, coronal and sagittal; empty for those of the training windows.
        fusion: rule by which all predictions of a voxel become one value, one of `FUSIONS`.
        flips: whether crops are also predicted with left and right exchanged.
        shifts: voxels, 0 (off) to 8, by which crops are also moved to either side.
    """

    planes: Annotated[
        tuple[str, ...],
        subset_of(
            PLANE_AXES,
            0,
            f"some of {', '.join(PLANE_AXES)}, each once, or () for those of windows.planes",
        ),
    ]
    fusion: Annotated[str, one_of(FUSIONS)]
    flips: bool
    shifts: Annotated[
        int,
        Rule(
            lambda voxels: whole(0).holds(voxels) and voxels <= MOST_SHIFT,
            f"voxels, a whole number from 0 (off) to {MOST_SHIFT}",
        ),
    ]
