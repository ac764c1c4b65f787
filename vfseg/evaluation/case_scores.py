"""Everything that is measured on one case while its volumes are in memory: counts, lesions, units.

What comes out is small, adds up over cases, and can be pickled: cases may be scored in any order
and in several processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from absl import logging

from vfseg.data.box import Box, box_between, part_of
from vfseg.data.cases import Case
from vfseg.data.instances import separated
from vfseg.data.probability import reaches
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.evaluation.heights import Body, Unmeasured
from vfseg.evaluation.hounsfield_floor import HounsfieldHistogram
from vfseg.evaluation.lesions import CaseLesions, components, match_lesions
from vfseg.evaluation.lists import bodies_of, lesion_rows, vertebra_rows
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.regions import vertebra_regions
from vfseg.evaluation.surface import SurfaceAgreement, compare_surfaces
from vfseg.evaluation.thresholds import Thresholds
from vfseg.evaluation.truth import instance_voxels, known_grades, known_patterns
from vfseg.evaluation.vertebrae import VertebraScore, score_vertebra
from vfseg.inference.case_map import Slab

_SLAB = 16


@dataclass(frozen=True)
class CaseScores:
    """What was measured on one case.

    Attributes:
        case: what was scored.
        fingerprint: of the prepared case.
        slices: target slices in the crop grid, unfused.
        voxels: fused map in the CT's grid, inside the union of the crops.
        hounsfield: CT values of the same voxels.
        whole: int64 (negative, positive) voxels of the whole CT.
        voxel_ml: volume of a voxel, mL.
        vertebrae: cranial to caudal.
        lesions: None where no threshold is known yet.
        surface: of prediction and truth inside the crops; None where no threshold is known yet.
        vertebra_rows, lesion_rows: of the lists, see `lists`, with what the truth says of each;
            empty where no threshold is known yet.
        slice_units: (highest probability, any truth) of each target slice.
    """

    case: Case
    fingerprint: str
    slices: ScoreHistogram
    voxels: ScoreHistogram
    hounsfield: HounsfieldHistogram
    whole: np.ndarray
    voxel_ml: float
    vertebrae: tuple[VertebraScore, ...]
    lesions: CaseLesions | None
    surface: SurfaceAgreement | None
    vertebra_rows: tuple[dict[str, Any], ...] = ()
    lesion_rows: tuple[dict[str, Any], ...] = ()
    slice_units: tuple[tuple[float, bool], ...] = ()


def predicted_mask(probability: np.ndarray, region: np.ndarray, threshold: float) -> np.ndarray:
    """The mask at a threshold (see `reaches`) inside a region, bool, cut slab by slab."""
    mask = np.zeros(probability.shape, bool)
    for start in range(0, len(mask), _SLAB):
        slab = np.s_[start : start + _SLAB]
        if region[slab].any():
            mask[slab] = reaches(probability[slab], threshold) & region[slab]
    return mask


def measure_case(
    case: Case,
    fingerprint: str,
    slices: ScoreHistogram,
    ct: Volume,
    spine: Spine,
    truth: np.ndarray,
    fused: Slab,
    start: Sequence[int],
    *,
    marked: bool,
    thresholds: Thresholds | None,
) -> CaseScores:
    """Measures one case. All arrays are `d h w` on the grid of the CT, or on a box of it.

    Args:
        case: what is scored.
        fingerprint: of the prepared case.
        slices: histogram of its unfused predictions.
        ct: int16 HU.
        spine: its vertebrae.
        truth: fracture mask.
        fused: the map, on a box of the CT that holds all crops.
        start: first voxel of the box.
        marked: whether the masks of the data set tell instances apart.
        thresholds: from validation; None while they are still to be chosen.
    """
    within = box_between(start, np.add(start, fused.region.shape))
    voxels, hounsfield = ScoreHistogram(), HounsfieldHistogram()
    voxels.add(fused.probability, truth[within], fused.region)
    hounsfield.add(ct.array[within], truth[within], fused.region)
    positive = int(np.count_nonzero(truth))
    missed = positive - int(voxels.counts[1].sum())
    if missed:
        logging.warning(
            "%s: %d of %d fracture voxels lie outside every crop and are not scored; a larger "
            "prepare.crop_shape would hold them",
            *(case.case_id, missed, positive),
        )
    voxel_mm3 = float(np.prod(ct.voxel_spacing))
    instances, grades = separated(truth, marked), known_grades(case)
    threshold = None if thresholds is None else thresholds.fused
    vertebrae, levels = _measure_vertebrae(spine, ct, instances, fused, within, threshold, grades)
    scores = CaseScores(
        case=case,
        fingerprint=fingerprint,
        slices=slices,
        voxels=voxels,
        hounsfield=hounsfield,
        whole=np.array([truth.size - positive, positive]),
        voxel_ml=voxel_mm3 / 1000,
        vertebrae=vertebrae,
        lesions=None,
        surface=None,
    )
    if thresholds is None:
        return scores
    mask = predicted_mask(fused.probability, fused.region, thresholds.fused)
    found = components(mask, voxel_mm3)
    lesions = match_lesions(
        found,
        instances[within],
        fused.probability,
        mask,
        instance_voxels(instances),
        fused.region,
        voxel_mm3,
        levels=levels,
        patterns=known_patterns(case) if marked else {},
    )
    if lesions.not_shown:
        logging.warning(
            "%s: %d whole fractures lie outside every crop and are not among its lesions",
            *(case.case_id, lesions.not_shown),
        )
    shown = (truth[within] != 0) & fused.region
    bodies = bodies_of(spine.labels, spine.vertebrae)
    rows = lesion_rows(
        case.case_id,
        fused.probability,
        found,
        spine.labels,
        spine.vertebrae,
        ct.geometry,
        fused.spread,
        start=start,
        bodies=bodies,
    )
    return replace(
        scores,
        lesions=lesions,
        surface=compare_surfaces(mask, shown, ct.voxel_spacing),
        lesion_rows=tuple(row | {"hit": lesions.hits[row["lesion"] - 1]} for row in rows),
        vertebra_rows=_vertebra_rows(case, spine, vertebrae, thresholds, grades, bodies),
    )


def _measure_vertebrae(
    spine: Spine,
    ct: Volume,
    instances: np.ndarray,
    fused: Slab,
    within: Box,
    threshold: float | None,
    grades: Mapping[str, int],
) -> tuple[tuple[VertebraScore, ...], dict[int, str]]:
    """Scores of the vertebrae, and the level that holds most of each instance."""
    labels = None if spine.labels is None else spine.labels.array
    scores: list[VertebraScore] = []
    most: dict[int, tuple[int, str]] = {}
    for found in vertebra_regions(spine.vertebrae, labels, spine.ids, ct.shape, ct.voxel_spacing):
        probability, own = part_of(fused.probability, within, found.box), instances[found.box]
        mask = None
        if threshold is not None:
            region = part_of(fused.region, within, found.box)
            mask = predicted_mask(probability, region, threshold)
        scores.append(
            score_vertebra(
                found,
                probability,
                own,
                mask,
                float(np.prod(ct.voxel_spacing)),
                grades=grades,
                measured_in="box" if labels is None else "mask",
            )
        )
        held = np.bincount(own[found.inside])
        for instance in (np.flatnonzero(held[1:]) + 1).tolist():
            if held[instance] > most.get(instance, (0, ""))[0]:
                most[instance] = int(held[instance]), found.vertebra.level
    return tuple(scores), {instance: level for instance, (_, level) in most.items()}


def _vertebra_rows(
    case: Case,
    spine: Spine,
    vertebrae: Sequence[VertebraScore],
    thresholds: Thresholds,
    grades: Mapping[str, int],
    bodies: Sequence[Body | Unmeasured],
) -> tuple[dict[str, Any], ...]:
    rows = vertebra_rows(
        case.case_id,
        spine.labels,
        spine.vertebrae,
        {vertebra.level: vertebra.score for vertebra in vertebrae},
        thresholds.vertebra,
        grades,
        bodies=bodies,
    )
    return tuple(
        row
        | {
            "fractured": vertebra.fractured,
            "truth_ml": vertebra.truth_ml,
            "predicted_ml": vertebra.predicted_ml,
            "measured_in": vertebra.measured_in,
        }
        for row, vertebra in zip(rows, vertebrae, strict=True)
    )
