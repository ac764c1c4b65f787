"""What can be set of crops: how they are cut, divided, drawn from and varied."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated

from vfseg.data.settings import PLANE_AXES, SpineReading
from vfseg.settings import (
    Rule,
    Settings,
    above,
    at_least,
    below,
    between,
    subset_of,
    whole,
)

ELASTIC_GRID = 16.0  # mm between the control points of the elastic displacement
# Displacements below spacing / 2.046 cannot fold the plane (Choi and Lee, 2000).
ELASTIC_LIMIT = ELASTIC_GRID / 2.046

_ODD = Rule(
    lambda value: whole(1).holds(value) and value % 2 == 1,
    "an odd number, so that a window has a middle slice",
)
_STRENGTH = at_least(0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareSettings(SpineReading, section="prepare"):
    """How crops are cut.

    Attributes:
        voxel_spacing: of the crops, mm, isotropic.
        crop_shape: (d, h, w) of a crop, voxels.
    """

    voxel_spacing: Annotated[float, above(0, "a number of mm")]
    crop_shape: Annotated[
        tuple[int, int, int],
        Rule(
            lambda shape: len(shape) == 3 and all(whole(1).holds(size) for size in shape),
            "three sizes (superior, anterior, right), whole numbers from 1",
        ),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSettings(Settings, section="split"):
    """How the patients that the manifest leaves open are divided.

    Attributes:
        validation: fraction of all patients, 0 to below 1; not used where there are folds.
        test: fraction of all patients, 0 to below 1.
        folds: 0 for a hold-out; k >= 2 divides all patients of train, also those that the manifest
            names so, into k folds of which one validates.
        fold: the one that validates, 0..k-1.
    """

    validation: Annotated[float, below(1, "a fraction")]
    test: Annotated[float, below(1, "a fraction")]
    folds: Annotated[int, Rule(lambda n: whole(0).holds(n) and n != 1, "0 (none), or 2 and more")]
    fold: Annotated[int, whole(0)]

    def unfit(self) -> Iterator[str]:
        """Someone is left to train on, and the fold that validates is one of them."""
        if self.validation + self.test >= 1:
            yield (
                f"config.split.validation={self.validation} and config.split.test={self.test} "
                "leave no patient to train on. Lower them."
            )
        if self.folds and self.fold >= self.folds:
            yield (
                f"config.split.fold={self.fold}: expected 0 to {self.folds - 1}, since "
                f"config.split.folds={self.folds}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowSettings(Settings, section="windows"):
    """How windows are drawn.

    Attributes:
        planes: one or more of axial, coronal and sagittal; with several, crops have one size along
            all axes, so that their slices have one shape.
        length: slices of a window, T, odd.
        stride_mm: distance between the slices of a window, mm; rounded to whole voxels, at least
            one.
        targets: neighbouring target slices of a run, k; 1 is the plain window.
        batch_size: runs of a global batch.
        positive_share: fraction of the runs of a batch whose targets show a fracture, 0..1.
    """

    planes: Annotated[
        tuple[str, ...],
        subset_of(PLANE_AXES, 1, f"one or more of {', '.join(PLANE_AXES)}, each once"),
    ]
    length: Annotated[int, _ODD]
    stride_mm: Annotated[float, above(0, "a number of mm")]
    targets: Annotated[int, whole(1)]
    batch_size: Annotated[int, whole(1)]
    positive_share: Annotated[float, between(0, 1, "a fraction")]

    def stride(self, voxel_spacing: float) -> int:
        """Stride in slices of the crop."""
        return max(1, round(self.stride_mm / voxel_spacing))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentSettings(Settings, section="augment"):
    """How far each transform may go; 0 turns it off. Drawn anew for every sample.

    Attributes:
        rotation: in the plane, about the centre of the field, uniform in +-rotation degrees, at
            most 180.
        scaling: log-uniform between 1 / (1 + scaling) and 1 + scaling.
        translation: along each axis, uniform in +-translation mm.
        elastic: no point is displaced by more than this along an axis, mm (RMS: 0.28 of it); cubic
            B-splines on control points `ELASTIC_GRID` apart. Less than `ELASTIC_LIMIT`, so that
            nothing folds.
        left_right_flip: probability of mirroring the patient's left and right.
        gamma: exponent on HU / `GAMMA_RANGE`, log-uniform between 1 / (1 + gamma) and 1 + gamma.
        contrast: factor on HU, log-uniform between 1 / (1 + contrast) and 1 + contrast.
        noise: white Gaussian noise, standard deviation uniform in 0..noise HU.
        blur: Gaussian in the plane, standard deviation uniform in 0..blur mm.
        low_resolution: averaging over pixels 1..1 + low_resolution times as large, uniform, drawn
            for each axis (scans are thicker than their pixels), interpolated back.
        hu_shift: uniform in +-hu_shift HU.
        thickness: averaging along one axis, drawn of the three (across the slices, h, w), over
            0..thickness mm, uniform: the partial volume of thick slices in any orientation.
        sharpness: of the kernel: the CT, its noise included, gains uniformly
            -sharpness / 2..sharpness times what a Gaussian of `KERNEL_MM` in the plane takes away.

    Raises:
        UserError: a strength outside its range.
    """

    rotation: Annotated[float, between(0, 180, "a number of degrees")] = 0.0
    scaling: Annotated[float, _STRENGTH] = 0.0
    translation: Annotated[float, _STRENGTH] = 0.0
    elastic: Annotated[float, between(0, ELASTIC_LIMIT, "a number of mm")] = 0.0
    left_right_flip: Annotated[float, between(0, 1, "a probability")] = 0.0
    gamma: Annotated[float, _STRENGTH] = 0.0
    contrast: Annotated[float, _STRENGTH] = 0.0
    noise: Annotated[float, _STRENGTH] = 0.0
    blur: Annotated[float, _STRENGTH] = 0.0
    low_resolution: Annotated[float, _STRENGTH] = 0.0
    hu_shift: Annotated[float, _STRENGTH] = 0.0
    thickness: Annotated[float, _STRENGTH] = 0.0
    sharpness: Annotated[float, _STRENGTH] = 0.0
