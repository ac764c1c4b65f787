"""Vertebrae and cases as units: scores, truth, ROC-AUC, and the threshold of a verdict.

A vertebra has the score that the map gives it (see `map_evidence`), and is fractured where
instances fill at least 20 mm3 of its region (its mask grown by 2 mm). A case has the score of its
highest vertebra, and is positive where any is fractured.

References:
    Hanley and McNeil (1982), "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve", Radiology 143.
    Youden (1950), "Index for rating diagnostic tests", Cancer 3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vfseg.data.attribution import FRACTURED_MM3
from vfseg.data.probability import BINS, reaches, score_bin
from vfseg.evaluation.map_evidence import MapEvidence
from vfseg.evaluation.ratio import ratio
from vfseg.evaluation.regions import VertebraRegion
from vfseg.evaluation.verdict import Evidence, evidence_of_ct


class VertebraScore(NamedTuple):
    """One vertebra of a case.

    Attributes:
        level: T4..L5.
        label: id in the label map; 0 where boxes name levels.
        map: what the map says of it.
        fractured: what the truth says.
        overlap: voxels of its region: true and false positives, false and true negatives; zeros
            where no threshold is known yet.
        voxel_ml: volume of a voxel, mL.
        grade: Genant's, 0..3; None where the case has no grade of it.
        measured_in: "mask" or "box".
        flags: what is odd about it: "fragment", "cut".
        heights: evidence of its heights, see `HeightLoss.evidence`; None where not measured.
        specks: predicted voxels of its region that are in no lesion of the lists, see `LISTED_ML`.
    """

    level: str
    label: int
    map: MapEvidence
    fractured: bool
    overlap: tuple[int, int, int, int]
    voxel_ml: float
    grade: int | None = None
    measured_in: str = "mask"
    flags: tuple[str, ...] = ()
    heights: float | None = None
    specks: int = 0

    @property
    def score(self) -> float:
        """Of the map, 0..1."""
        return self.map.score

    def suspected(self, threshold: float) -> bool:
        """Whether the score reaches a threshold (see `reaches`)."""
        return bool(reaches(np.array(self.score), threshold))

    @property
    def truth_ml(self) -> float:
        """Volume of the truth in its region, mL (of a thresholded map only)."""
        return (self.overlap[0] + self.overlap[2]) * self.voxel_ml

    @property
    def predicted_ml(self) -> float:
        """Predicted volume in its region, mL."""
        return (self.overlap[0] + self.overlap[1]) * self.voxel_ml

    @property
    def specks_ml(self) -> float:
        """What of it is in no lesion of the lists, mL."""
        return self.specks * self.voxel_ml


def score_vertebra(
    region: VertebraRegion,
    of_map: MapEvidence,
    heights: float | None,
    truth: np.ndarray,
    mask: np.ndarray | None = None,
    grade: int | None = None,
) -> VertebraScore:
    """Scores one vertebra.

    Args:
        region: see `vertebra_regions`.
        of_map: evidence of the map.
        heights: evidence of the heights, where they are measured.
        truth: instance ids within the box.
        mask: bool, the prediction within the box; None where no threshold is known yet.
        grade: Genant's, where it is known.
    """
    vertebra, voxel_mm3 = region.vertebra, region.voxel_mm3
    positive = truth[region.inside] != 0
    overlap = (0, 0, 0, 0)
    if mask is not None:
        joint = np.bincount(2 * mask[region.inside].astype(np.int64) + positive, minlength=4)
        tn, fn, fp, tp = joint.tolist()
        overlap = (tp, fp, fn, tn)
    return VertebraScore(
        level=vertebra.level,
        label=vertebra.label,
        map=of_map,
        fractured=bool(np.count_nonzero(positive) * voxel_mm3 >= FRACTURED_MM3),
        overlap=overlap,
        voxel_ml=voxel_mm3 / 1000,
        grade=grade,
        measured_in=region.measured_in,
        flags=vertebra.flags,
        heights=heights,
    )


def with_evidence(case: Sequence[VertebraScore]) -> list[tuple[Evidence, bool]]:
    """What the verdict on each vertebra of a case is made from, and its truth."""
    evidence = evidence_of_ct([v.score for v in case], [v.heights for v in case])
    return list(zip(evidence, (v.fractured for v in case)))


def as_cases(scores: Sequence[Sequence[VertebraScore]]) -> list[list[tuple[float, bool]]]:
    """(highest score, any fractured) of each case, as `ranked_states` takes them."""
    return [
        [(max(v.score for v in case), any(v.fractured for v in case))] if case else []
        for case in scores
    ]


def ranked_states(cases: Sequence[Sequence[tuple[float, bool]]]) -> np.ndarray:
    """Additive counts of units (vertebrae, say) by truth and by the scores that occur.

    Args:
        cases: (score, truth) of the units of each case.

    Returns:
        int64 "cases 2 k", negatives first, scores rising; two scores of one code of 1/65535 are
        one score.
    """
    codes = [score_bin(np.array([score for score, _ in case])) for case in cases]
    scores = np.unique(np.concatenate(codes))
    states = np.zeros((len(cases), 2, len(scores)), np.int64)
    for state, code, case in zip(states, codes, cases):
        truth = np.array([positive for _, positive in case], np.intp)
        np.add.at(state, (truth, np.searchsorted(scores, code)), 1)
    return states


def confusion_states(
    cases: Sequence[Sequence[tuple[float, bool]]], thresholds: Sequence[float]
) -> np.ndarray:
    """True and false positives, false and true negatives of each case, int64 "cases 4".

    Args:
        cases: (score, truth) of the units of each case.
        thresholds: of each case; a score that reaches it (see `reaches`) is positive.
    """
    states = np.zeros((len(cases), 4), np.int64)
    for state, case, threshold in zip(states, cases, thresholds, strict=True):
        suspected = reaches(np.array([score for score, _ in case]), threshold)
        positive = np.array([truth for _, truth in case], bool)
        np.add.at(state, np.where(suspected, np.where(positive, 0, 1), np.where(positive, 2, 3)), 1)
    return states


def roc_auc(states: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: fraction of pairs ranked rightly, ties count half.

    Args:
        states: counts "... 2 k", negatives first, scores rising.

    Returns:
        Values in [0, 1], shape "...", NaN where a class is empty. A random scorer gets 0.5.

    >>> float(roc_auc(np.array([[1, 1, 0], [0, 1, 1]])))
    0.875
    """
    negatives, positives = np.moveaxis(np.asarray(states, np.float64), -2, 0)
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = negatives.sum(-1) * positives.sum(-1)
    right = np.einsum("...k,...k->...", positives, below)
    return ratio(right, pairs)


def specificity(counts: np.ndarray) -> np.ndarray:
    """TN / (TN + FP) of counts "... 4"; NaN where nothing is negative."""
    _, fp, _, tn = np.moveaxis(counts, -1, 0)
    return ratio(tn, tn + fp)


def best_youden(units: Sequence[tuple[float, bool]]) -> float | None:
    """Threshold of the highest sensitivity + specificity - 1 (Youden's J); ties go to the lower.

    Candidates lie half-way between neighbouring scores that occur: validation holds few vertebrae,
    and a candidate on a score of its own would lie at one end of a gap. Scores are compared by
    their codes, as everywhere (see `reaches`).

    Args:
        units: (score, truth) of validation.

    Returns:
        The threshold; None where validation lacks one of the classes, or one score is all there is.
    """
    codes = score_bin(np.array([score for score, _ in units]))
    truth = np.array([positive for _, positive in units], bool)
    present = np.unique(codes)
    if truth.all() or not truth.any() or len(present) < 2:
        return None
    candidates = (present[1:] + present[:-1] + 1) // 2
    above = codes >= candidates[:, None]
    # J times both numbers of units: whole numbers, so that ties are ties.
    index = above[:, truth].sum(1) * (~truth).sum() - above[:, ~truth].sum(1) * truth.sum()
    return float(candidates[int(np.argmax(index))]) / (BINS - 1)
