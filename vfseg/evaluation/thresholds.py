"""How thresholds and temperature are chosen, on validation cases alone."""

import dataclasses
from collections.abc import Sequence

from absl import logging

from vfseg.errors import UserError
from vfseg.evaluation.calibration import fit_temperature
from vfseg.evaluation.case_scores import CaseScores
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.verdict import Evidence, fit_verdict
from vfseg.evaluation.vertebrae import best_youden, with_evidence
from vfseg.inference.thresholds import Thresholds

BY_YOUDEN, BY_MAP = "Youden index", "threshold of the map"
OUT_OF_FOLD = "out of fold"
"""What thresholds were chosen on, and the split of a summary, where no case chose for itself."""


def choose(
    slice_threshold: float, voxels: ScoreHistogram, vertebrae: Sequence[tuple[Evidence, bool]]
) -> Thresholds:
    """What validation chooses.

    The map's threshold has the highest pooled voxel Dice. That of a vertebra's score has the
    highest Youden index, or is the map's where validation lacks fractured or healthy vertebrae.
    The temperature has the lowest cross-entropy. The rule of the verdict is fitted to the evidence.

    Args:
        slice_threshold: of the slices, see `of_highest_dice`.
        voxels: of the fused maps.
        vertebrae: evidence and truth of each.

    Raises:
        UserError: no validation case shows a fracture.
    """
    fused = of_highest_dice(voxels, "fused map")
    vertebra = best_youden([(e.map, y) for e, y in vertebrae if e.map is not None])
    if vertebra is None:
        logging.warning(
            "validation lacks fractured or healthy vertebrae: a vertebra is called fractured where "
            "its score reaches the threshold of the map"
        )
    return Thresholds(
        slice=slice_threshold,
        fused=fused,
        vertebra=fused if vertebra is None else vertebra,
        vertebra_rule=BY_MAP if vertebra is None else BY_YOUDEN,
        temperature=fit_temperature(voxels.counts),
        verdict=fit_verdict(vertebrae),
    )


def choose_from(scores: Sequence[CaseScores], slice_threshold: float) -> Thresholds:
    """What some cases choose, see `choose`.

    Args:
        scores: of the cases.
        slice_threshold: by which slices voted in their maps.
    """
    voxels = sum((s.voxels for s in scores), ScoreHistogram())
    units = [unit for s in scores for unit in with_evidence(s.vertebrae)]
    return choose(slice_threshold, voxels, units)


def out_of_sample(scores: Sequence[CaseScores]) -> Thresholds:
    """Thresholds and verdict for a model, from what others say of whom they never saw.

    Args:
        scores: of cases, each by a model that did not train on its patient.

    Raises:
        UserError: no case shows a fracture.
    """
    slices = sum((score.slices.histogram for score in scores), ScoreHistogram())
    chosen = choose_from(scores, of_highest_dice(slices, "slice"))
    return dataclasses.replace(chosen, chosen_on=OUT_OF_FOLD)


def of_highest_dice(scores: ScoreHistogram, what: str) -> float:
    """Threshold of the highest pooled Dice; warns where it lies on the edge of its candidates.

    Args:
        scores: of the validation cases.
        what: "slice" or "fused map", for messages.

    Raises:
        UserError: no validation case shows a fracture.
    """
    threshold = scores.best_threshold()
    if threshold is None:
        raise UserError(
            f"the validation cases show no fracture, so no threshold of the {what} can be chosen. "
            "Put fractured cases into the split 'validation' of the manifest."
        )
    if threshold.on_edge:
        logging.warning(
            "the best %s threshold, %.4f, lies on the edge of its candidates: the model may have "
            "collapsed, or validation is too small",
            *(what, threshold.value),
        )
    return threshold.value
