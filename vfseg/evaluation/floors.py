"""What a scorer without any idea of a fracture's shape reaches: the floors of a cohort.

A cohort teaches something only where these are low. All are taken inside the union of the crops of
T4-L5, in the grid of the CT, by the code that scores the models. `benchmarks/studies/floors.py`
computes them; a run needs only the first.

- Hounsfield threshold: see `hounsfield_floor`.
- Hounsfield likelihood: ratio of the densities of (HU, blurred HU) within and outside fractures,
  as histograms of the training cases.
- The same with a perfect oracle that says which vertebrae are fractured: the likelihood is set to 0
  outside of them, and not fitted again.
- Dice of the truth moved by half a voxel and by one: what a map that is right, but for a shift of
  which no reader would take note, can score at this voxel spacing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vfseg.crops.prepare import Crop
from vfseg.data.attribution import FRACTURED_MM3
from vfseg.data.box import box_between
from vfseg.data.geometry import Geometry
from vfseg.data.resample import sample_nearest
from vfseg.data.volume import Volume
from vfseg.evaluation.hounsfield_floor import HounsfieldHistogram, hu_threshold_floor
from vfseg.evaluation.metrics import ScoreHistogram

BLUR_MM = 2.0
_LOW, _WIDTH, _BINS = -200.0, 25.0, 60  # fat to dense cortex; the end bins hold what lies beyond
SHIFTS = (0.5, 1.0)


def crop_region(
    crops: Sequence[Crop], crop_shape: Sequence[int], geometry: Geometry, voxel_spacing: float
) -> np.ndarray:
    """The voxels of a CT that lie in any crop, bool `d h w`.

    A voxel belongs to the nearest voxel of the case grid, as where a fused map is put on its CT.

    Args:
        crops: integer boxes of the case grid.
        crop_shape: (d, h, w) of every crop, voxels of the case grid.
        geometry: of the CT.
        voxel_spacing: of the case grid, mm.
    """
    if not crops:
        return np.zeros(geometry.shape, bool)
    starts = np.array([crop.start for crop in crops])
    origin = starts.min(0)
    covered = np.zeros(starts.max(0) - origin + np.asarray(crop_shape), np.uint8)
    for start in starts - origin:
        covered[box_between(start, start + crop_shape)] = 1
    step = geometry.voxel_spacing / voxel_spacing
    return sample_nearest(covered, -origin, step, geometry.shape).astype(bool)


def blurred(ct: Volume) -> np.ndarray:
    """The CT after a Gaussian of SD `BLUR_MM`, float32 HU `d h w`."""
    sigma = BLUR_MM / ct.voxel_spacing
    return ndimage.gaussian_filter(ct.array, sigma, output=np.float32, truncate=2.5, mode="nearest")


class KnownVoxels(NamedTuple):
    """A case as the floors see it; the arrays lie on the grid of the CT.

    Attributes:
        ct: int16 HU.
        labels: vertebra ids, `d h w`.
        truth: fracture instances, `d h w`; not 0 is positive.
        region: where it counts, bool `d h w`; see `crop_region`.
    """

    ct: Volume
    labels: np.ndarray
    truth: np.ndarray
    region: np.ndarray


@dataclass(eq=False)
class Likelihood:
    """Additive counts of voxels by truth, HU and blurred HU; from them a likelihood ratio.

    Attributes:
        counts: int64 "2 bins bins", negatives first.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros((2, _BINS, _BINS), np.int64))

    def add(self, case: KnownVoxels) -> None:
        """Counts the voxels of one more case."""
        where, smooth = case.region, blurred(case.ct)
        cells = _bin(case.ct.array[where]) * _BINS + _bin(smooth[where])
        cells += _BINS * _BINS * (case.truth[where] != 0)
        counted = np.bincount(cells, minlength=self.counts.size)
        self.counts += counted.reshape(self.counts.shape)

    def score(self, ct: Volume) -> np.ndarray:
        """Likelihood ratio r as a fraction, r / (1 + r), float32 `d h w` in [0, 1].

        r = P(HU, blurred HU | fracture) / P(HU, blurred HU | none).

        Every cell gets one count more, so that none is empty.
        """
        density = (self.counts + 1) / (self.counts + 1).sum((1, 2), keepdims=True)
        fraction = (density[1] / density.sum(0)).astype(np.float32)
        return fraction[_bin(ct.array), _bin(blurred(ct))]


def _bin(hounsfield: np.ndarray) -> np.ndarray:
    return np.clip((hounsfield - _LOW) // _WIDTH, 0, _BINS - 1).astype(np.intp)


def fractured_vertebrae(
    labels: np.ndarray, truth: np.ndarray, voxel_spacing: np.ndarray
) -> np.ndarray:
    """Mask of the vertebrae that hold at least `FRACTURED_MM3` of the truth, bool `d h w`."""
    held = np.bincount(labels[truth != 0].astype(np.intp), minlength=int(labels.max()) + 1)
    fractured = held * float(np.prod(voxel_spacing)) >= FRACTURED_MM3
    fractured[0] = False
    return fractured[labels]


def moved(truth: np.ndarray, voxels: float, axis: int) -> np.ndarray:
    """A mask moved towards higher indices of an axis, by linear interpolation cut at 0.5.

    A value of exactly 0.5 counts as inside: at half a voxel a sheet becomes a voxel thicker, which
    is the kinder of the two readings.

    Args:
        truth: not 0 is inside, `d h w`.
        voxels: 0 to 1.
        axis: of `d h w`.
    """
    mask = np.moveaxis((truth != 0).astype(np.float32), axis, 0)
    one = np.zeros_like(mask)
    one[1:] = mask[:-1]
    return np.moveaxis((1 - voxels) * mask + voxels * one >= 0.5, 0, axis)


@dataclass(eq=False)
class Floors:
    """Additive state of the floors of some cases.

    Attributes:
        hounsfield, likelihood, oracle: voxels by truth and score.
        overlap: float "shifts axes 2": voxels in both, and the sum of the voxels in each.
        cases: how many.
    """

    hounsfield: HounsfieldHistogram = field(default_factory=HounsfieldHistogram)
    likelihood: ScoreHistogram = field(default_factory=ScoreHistogram)
    oracle: ScoreHistogram = field(default_factory=ScoreHistogram)
    overlap: np.ndarray = field(default_factory=lambda: np.zeros((len(SHIFTS), 3, 2)))
    cases: int = 0

    def add(self, case: KnownVoxels, fitted: Likelihood) -> None:
        """Adds a case.

        Args:
            case: of the test cases.
            fitted: from training cases.
        """
        truth, region = case.truth, case.region
        self.hounsfield.add(case.ct.array, truth, region)
        score = fitted.score(case.ct)
        self.likelihood.add(score, truth, region)
        score *= fractured_vertebrae(case.labels, truth, case.ct.voxel_spacing)
        self.oracle.add(score, truth, region)
        inside = (truth != 0) & region
        for i, voxels in enumerate(SHIFTS):
            for axis in range(3):
                other = moved(inside, voxels, axis)
                both = np.count_nonzero(inside & other)
                self.overlap[i, axis] += both, np.count_nonzero(inside) + np.count_nonzero(other)
        self.cases += 1

    def __add__(self, other: "Floors") -> "Floors":
        return Floors(
            self.hounsfield + other.hounsfield,
            self.likelihood + other.likelihood,
            self.oracle + other.oracle,
            self.overlap + other.overlap,
            self.cases + other.cases,
        )

    def figures(self) -> dict[str, float | None]:
        """Name -> value of every floor, None where there is no fracture."""
        threshold = hu_threshold_floor(self.hounsfield)
        result: dict[str, float | None] = {
            "prevalence": self.hounsfield.prevalence,
            "pr_auc_hu_threshold": None if threshold is None else threshold.pr_auc,
            "pr_auc_hu_likelihood": self.likelihood.average_precision(),
            "pr_auc_vertebra_oracle": self.oracle.average_precision(),
        }
        for i, voxels in enumerate(SHIFTS):
            for axis, name in enumerate("dhw"):
                both, each = self.overlap[i, axis]
                result[f"dice_moved_{voxels:g}_{name}"] = 2 * both / each if each else None
        return result
