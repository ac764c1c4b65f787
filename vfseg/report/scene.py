"""What the pictures of one case are made from."""

from dataclasses import dataclass

import numpy as np

from vfseg.data.probability import reaches
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.inference.boxed_map import ProbabilityMap


@dataclass(frozen=True, eq=False)
class Reference:
    """The fractures that a data set gives for a case.

    Attributes:
        instances: integer ids `d h w`, one for each lesion, 0 elsewhere (see `separated`).
        synthetic: whether a program made the fractures; every picture that shows them says so.
    """

    instances: np.ndarray
    synthetic: bool


@dataclass(frozen=True, eq=False)
class Scene:
    """One case; all arrays are `d h w` on the grid of its CT.

    Attributes:
        title: name of the case, for the pictures.
        ct: int16 HU.
        spine: vertebrae, of which there may be none, and their label map where there is one.
        probability: of fracture, in [0, 1].
        threshold: a voxel at or above this probability is predicted.
        reference: None where the fractures are not known.
        uncertainty: of the map, its standard deviation; None where there is none.
    """

    title: str
    ct: Volume
    spine: Spine
    probability: ProbabilityMap
    threshold: float
    reference: Reference | None = None
    uncertainty: ProbabilityMap | None = None


def predicted(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Voxels that a picture shows as predicted: those of `mask.nii.gz`.

    Args:
        probability: a part of the map, any shape.
        threshold: probability in [0, 1].

    Returns:
        Boolean mask of the same shape: codes are compared, see `reaches`; never where the map is 0,
        which is what lies outside every crop.
    """
    return reaches(probability, threshold) & (probability > 0)
