"""Everything that is measured on one case while its volumes are in memory: counts, lesions, units.

What comes out is small, adds up over cases, and can be sent: cases may be scored in any order and
in several processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from vfseg.data.box import Box, part_of
from vfseg.data.cases import Case
from vfseg.data.probability import reaches
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.evaluation.findings import LISTED_ML
from vfseg.evaluation.genant import height_losses
from vfseg.evaluation.heights import MeasuredSpine, measure_spine
from vfseg.evaluation.hounsfield_floor import HounsfieldHistogram
from vfseg.evaluation.lesions import (
    CaseLesions,
    Detections,
    components,
    match_lesions,
    outside_of_large,
)
from vfseg.evaluation.lists import lesion_rows, vertebra_rows
from vfseg.evaluation.map_evidence import map_evidence
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.regions import vertebra_regions
from vfseg.evaluation.slices import SliceScores
from vfseg.evaluation.surface import SurfaceAgreement, compare_surfaces
from vfseg.evaluation.truth import KnownFractures
from vfseg.evaluation.vertebrae import VertebraScore, score_vertebra
from vfseg.inference.case_map import Slab
from vfseg.inference.thresholds import Thresholds

_SLAB = 16


class KnownCase(NamedTuple):
    """A case to be scored, and what is known of it.

    Attributes:
        case: what is scored.
        fingerprint: of the prepared case.
        ct: int16 HU.
        spine: its vertebrae.
        fractures: its truth.
        outside: what of the CT lies outside the range of training, see `outside_training`.
    """

    case: Case
    fingerprint: str
    ct: Volume
    spine: Spine
    fractures: KnownFractures
    outside: str | None = None

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel of the CT."""
        return float(np.prod(self.ct.voxel_spacing))


@dataclass(frozen=True)
class CaseScores:
    """What was measured on one case.

    Attributes:
        case: what was scored.
        fingerprint: of the prepared case.
        slices: of the target slices in the crop grid, unfused.
        voxels: fused map in the CT's grid, inside the union of the crops.
        hounsfield: CT values of the same voxels.
        whole: int64 (negative, positive) voxels of the whole CT.
        voxel_ml: volume of a voxel, mL.
        vertebrae: cranial to caudal.
        lesions: None where no threshold is known yet.
        surface: of prediction and truth inside the crops; None where no threshold is known yet.
        outside: what of the CT lies outside the range of training, see `outside_training`.
        vertebra_rows, lesion_rows: of the lists, see `lists`, with what the truth says of each;
            empty where no threshold is known yet.
    """

    case: Case
    fingerprint: str
    slices: SliceScores
    voxels: ScoreHistogram
    hounsfield: HounsfieldHistogram
    whole: np.ndarray
    voxel_ml: float
    vertebrae: tuple[VertebraScore, ...]
    lesions: CaseLesions | None
    surface: SurfaceAgreement | None
    outside: str | None = None
    vertebra_rows: tuple[dict[str, Any], ...] = ()
    lesion_rows: tuple[dict[str, Any], ...] = ()


def predicted_mask(probability: np.ndarray, region: np.ndarray, threshold: float) -> np.ndarray:
    """The mask at a threshold (see `reaches`) inside a region, bool, cut slab by slab."""
    mask = np.zeros(probability.shape, bool)
    for start in range(0, len(mask), _SLAB):
        slab = np.s_[start : start + _SLAB]
        if region[slab].any():
            mask[slab] = reaches(probability[slab], threshold) & region[slab]
    return mask


def measure_case(
    known: KnownCase,
    slices: SliceScores,
    fused: Slab,
    box: Box,
    thresholds: Thresholds | None,
) -> CaseScores:
    """Measures one case.

    Args:
        known: the case.
        slices: of its unfused predictions.
        fused: its map, in a box of the CT that holds all crops.
        box: that box.
        thresholds: from validation; None while they are still to be chosen.
    """
    instances = known.fractures.instances
    truth = instances[box]
    voxels, hounsfield = ScoreHistogram(), HounsfieldHistogram()
    voxels.add(fused.probability, truth, fused.region)
    hounsfield.add(known.ct.array[box], truth, fused.region)
    positive = int(np.count_nonzero(instances))
    missed = positive - int(voxels.counts[1].sum())
    if missed:
        logging.warning(
            "%s: %d of %d fracture voxels lie outside every crop and are not scored; a larger "
            "prepare.crop_shape would hold them",
            *(known.case.case_id, missed, positive),
        )
    measured, predicted = measure_spine(known.spine), None
    if thresholds is not None:
        mask = predicted_mask(fused.probability, fused.region, thresholds.fused)
        parts = components(mask, known.voxel_mm3)
        specks = outside_of_large(mask, parts, known.voxel_mm3, 1000 * LISTED_ML)
        predicted = _Predicted(mask, parts, specks)
    vertebrae, levels = _measure_vertebrae(known, measured, fused, box, predicted)
    scores = CaseScores(
        case=known.case,
        fingerprint=known.fingerprint,
        slices=slices,
        voxels=voxels,
        hounsfield=hounsfield,
        whole=np.array([instances.size - positive, positive]),
        voxel_ml=known.voxel_mm3 / 1000,
        vertebrae=vertebrae,
        lesions=None,
        surface=None,
        outside=known.outside,
    )
    if thresholds is None or predicted is None:
        return scores
    mask = predicted.mask
    found = Detections(box, fused.probability, mask, predicted.parts, fused.spread)
    lesions = match_lesions(found, known.fractures, levels, fused.region, known.voxel_mm3)
    if lesions.not_shown:
        logging.warning(
            "%s: fractures that lie wholly outside every crop, and are not among its lesions: %d",
            *(known.case.case_id, lesions.not_shown),
        )
    rows = lesion_rows(known.case.case_id, found, measured, known.ct.geometry, known.outside)
    return replace(
        scores,
        lesions=lesions,
        surface=compare_surfaces(mask, (truth != 0) & fused.region, known.ct.voxel_spacing),
        lesion_rows=tuple(row | {"hit": lesions.hits[row["lesion"] - 1]} for row in rows),
        vertebra_rows=_vertebra_rows(known, measured, vertebrae, thresholds),
    )


class _Predicted(NamedTuple):
    """What a map shows at the threshold: mask, its components, and what is in none of the lists."""

    mask: np.ndarray
    parts: np.ndarray
    specks: np.ndarray


def _measure_vertebrae(
    known: KnownCase, measured: MeasuredSpine, fused: Slab, box: Box, predicted: _Predicted | None
) -> tuple[tuple[VertebraScore, ...], dict[int, str]]:
    """Scores of the vertebrae, and the level that holds most of each instance."""
    scores: list[VertebraScore] = []
    most: dict[int, tuple[int, str]] = {}
    heights = height_losses(measured.bodies)
    bodies = {body.level: body for body in measured.bodies}
    for region in vertebra_regions(known.spine, known.ct.geometry):
        level = region.vertebra.level
        probability = part_of(fused.probability, box, region.box)
        own = known.fractures.instances[region.box]
        mask, specks = None, 0
        if predicted is not None:
            mask = part_of(predicted.mask, box, region.box)
            small = part_of(predicted.specks, box, region.box)
            specks = int(np.count_nonzero(small[region.inside]))
        grade = known.fractures.grades.get(level)
        of_map = map_evidence(probability, region, known.ct.geometry, bodies[level])
        loss = heights[level].evidence if level in heights else None
        scored = score_vertebra(region, of_map, loss, own, mask, grade)
        scores.append(scored._replace(specks=specks))
        held = np.bincount(own[region.inside])
        for instance in (np.flatnonzero(held[1:]) + 1).tolist():
            if held[instance] > most.get(instance, (0, ""))[0]:
                most[instance] = int(held[instance]), level
    return tuple(scores), {instance: level for instance, (_, level) in most.items()}


def _vertebra_rows(
    known: KnownCase,
    measured: MeasuredSpine,
    vertebrae: Sequence[VertebraScore],
    thresholds: Thresholds,
) -> tuple[dict[str, Any], ...]:
    scores = {vertebra.level: vertebra.map for vertebra in vertebrae}
    grades = known.fractures.grades
    rows = vertebra_rows(
        known.case.case_id, measured, scores, thresholds, grades, outside=known.outside
    )
    return tuple(
        row
        | {
            "fractured": vertebra.fractured,
            "truth_ml": vertebra.truth_ml,
            "predicted_ml": vertebra.predicted_ml,
            "specks_ml": vertebra.specks_ml,
            "measured_in": vertebra.measured_in,
        }
        for row, vertebra in zip(rows, vertebrae, strict=True)
    )
