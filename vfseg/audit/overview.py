"""A data set in a few figures, from the facts of its cases: what a training can be planned by."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vfseg.audit.findings import CaseFacts
from vfseg.data.patients import count_people
from vfseg.data.schemes import LEVELS
from vfseg.errors import quantity

_MOST_OF_THEM = 95  # percent


class Overview(NamedTuple):
    """Figures of the usable cases of a data set.

    Attributes:
        cases, unusable: their number, and that of the others.
        patients: people, however their names are spelled.
        voxel_spacing: (d, h, w) mm, the median of each axis.
        cube_mm: median side of a cube that has the volume of a voxel.
        levels: T4 to L5, those that occur.
        vertebrae: their number.
        training_vertebrae: of these to train on; about, where the splits are still open.
        lesions: their number.
        training_lesions: of these to train on, likewise.
        reach_mm: so far from the middle of a body does a lesion reach along an axis, of 95 % of
            them (`LesionFacts.reach_mm`); 0 where there are none.
        thickness_mm: median of the lesions; 0 where there are none.
        volume_ml: likewise.
        hounsfield: lowest and highest value of all CTs.
    """

    cases: int
    unusable: int
    patients: int
    voxel_spacing: tuple[float, float, float]
    cube_mm: float
    levels: tuple[str, ...]
    vertebrae: int
    training_vertebrae: int
    lesions: int
    training_lesions: int
    reach_mm: float
    thickness_mm: float
    volume_ml: float
    hounsfield: tuple[int, int]

    def lines(self) -> list[str]:
        """The figures in words, a line each."""
        of_them = f" ({self.unusable} more cannot be used)" if self.unusable else ""
        spacing = " x ".join(f"{mm:.3g}" for mm in self.voxel_spacing)
        levels = f", {self.levels[0]} to {self.levels[-1]}" if self.levels else ""
        people = quantity(self.patients, "patient")
        found = [
            f"{quantity(self.cases, 'case')}{of_them} of {people}; "
            f"{self.training_vertebrae} of {self.vertebrae} vertebrae to train on{levels}",
            f"voxels of {spacing} mm (superior, anterior, right; medians), values from "
            f"{self.hounsfield[0]} to {self.hounsfield[1]} HU",
        ]
        if self.lesions:
            found.append(
                f"{quantity(self.lesions, 'lesion')}, {self.training_lesions} to train on, of "
                f"{self.volume_ml:.2g} mL and {self.thickness_mm:.2g} mm thickness (medians); "
                f"{_MOST_OF_THEM} % lie within {self.reach_mm:.0f} mm of the middle of a body"
            )
        return found


def overview(cases: Sequence[CaseFacts], training: Mapping[str, float]) -> Overview:
    """The figures of a data set.

    Args:
        cases: facts of all its cases.
        training: patient of a usable case -> how likely it trains, 0..1.
    """
    usable = [case for case in cases if case.usable]
    spacings = np.array([case.voxel_spacing for case in usable if case.voxel_spacing])
    ranges = [case.hounsfield for case in usable if case.hounsfield]
    levels = {vertebra.level for case in usable for vertebra in case.vertebrae}
    lesions = [lesion for case in usable for lesion in case.lesions or ()]
    reaches = [lesion.reach_mm for lesion in lesions if lesion.reach_mm is not None]
    shares = [training[case.patient_id] for case in usable]
    d, h, w = np.median(spacings, axis=0).tolist() if usable else (0.0, 0.0, 0.0)
    return Overview(
        cases=len(usable),
        unusable=len(cases) - len(usable),
        patients=count_people(case.patient_id for case in usable),
        voxel_spacing=(d, h, w),
        cube_mm=float(np.median(np.cbrt(spacings.prod(axis=1)))) if usable else 0.0,
        levels=tuple(level for level in LEVELS if level in levels),
        vertebrae=sum(len(case.vertebrae) for case in usable),
        training_vertebrae=_part(shares, [len(c.vertebrae) for c in usable]),
        lesions=len(lesions),
        training_lesions=_part(shares, [len(c.lesions or ()) for c in usable]),
        reach_mm=float(np.percentile(reaches, _MOST_OF_THEM)) if reaches else 0.0,
        thickness_mm=_median([lesion.thickness_mm for lesion in lesions]),
        volume_ml=_median([lesion.volume_ml for lesion in lesions]),
        hounsfield=(min(x for x, _ in ranges), max(x for _, x in ranges)) if ranges else (0, 0),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0


def _part(shares: Sequence[float], numbers: Sequence[int]) -> int:
    """How many of them train, at least as many as there are shares of one."""
    return math.ceil(sum(share * n for share, n in zip(shares, numbers)) - 1e-9)
