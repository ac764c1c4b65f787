"""What an evaluation writes: `summary.json`, the tables beside it, and the counts behind it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from vfseg import RESEARCH_USE
from vfseg.data.outputs import OUTSIDE_TRAINING
from vfseg.data.patients import count_people
from vfseg.digests import write_digests
from vfseg.evaluation.calibration import reliability_curve
from vfseg.evaluation.case_scores import CaseScores
from vfseg.evaluation.curve_points import pr_points, roc_points
from vfseg.evaluation.hounsfield_floor import HounsfieldHistogram, hu_threshold_floor
from vfseg.evaluation.lesions import HIT_IOU, froc_corners
from vfseg.evaluation.lists import LESION_COLUMNS
from vfseg.evaluation.measures import MEASURES, States, case_states, write_states
from vfseg.evaluation.metrics import confusion, lift, prevalence
from vfseg.evaluation.statistics import estimate
from vfseg.evaluation.tables import tables
from vfseg.files import write_table
from vfseg.inference.thresholds import Thresholds
from vfseg.json_files import write_json

_WRITTEN = (
    *("cases.csv", "vertebrae.csv", "lesions.csv", "truth_lesions.csv", "tables.csv"),
    *("states.npz", "summary.json"),
)
_TRUTH_COLUMNS = (
    *("case_id", "instance", "level", "volume_ml", "recalled"),
    *(f"found_at_iou_{iou:g}" for iou in HIT_IOU),
    "pattern",
)


class Judged(NamedTuple):
    """The test cases of an evaluation, each with the thresholds that judged it.

    Attributes:
        scores: by case id: the order in which cases were scored must not move a resample.
        thresholds: of the evaluation.
        by: thresholds of each case, in the order of the scores.
        states: the counts behind every figure.
    """

    scores: list[CaseScores]
    thresholds: Thresholds
    by: list[Thresholds]
    states: States


def judged(
    scores: Sequence[CaseScores],
    thresholds: Thresholds,
    by_case: Mapping[str, Thresholds] = MappingProxyType({}),
) -> Judged:
    """Judges the cases of an evaluation.

    Args:
        scores: of the test cases, in any order.
        thresholds: from validation.
        by_case: case id -> thresholds by which it is judged, where these differ from case to case.
    """
    scores = sorted(scores, key=lambda score: score.case.case_id)
    by = [by_case.get(score.case.case_id, thresholds) for score in scores]
    return Judged(scores, thresholds, by, states_of(scores, by))


def states_of(scores: Sequence[CaseScores], thresholds: Sequence[Thresholds]) -> States:
    """The counts of a run, or of several that predicted a part of the cases each.

    Args:
        scores: of the cases.
        thresholds: of each case, those of the model that predicted it.
    """
    return States(
        tuple(s.case.case_id for s in scores),
        tuple(s.case.patient_id for s in scores),
        tuple(s.fingerprint for s in scores),
        case_states(scores, thresholds),
    )


def measured(states: States, *, seed: int) -> dict[str, dict[str, Any]]:
    """Level -> name -> {"value", "ci95", "n"} of every figure; null where it is not defined."""
    patients = count_people(states.patients)
    levels: dict[str, dict[str, Any]] = {}
    for measure in MEASURES:
        counts = states.counts.get(measure.state)
        levels.setdefault(measure.level, {})[measure.name] = (
            {"value": None, "ci95": None, "n": patients}
            if counts is None
            else estimate(measure.metric, counts, states.patients, seed=seed)
        )
    return levels


def summarise(cases: Judged, *, split: str, synthetic: bool, seed: int) -> dict[str, Any]:
    """The content of `summary.json`.

    Args:
        cases: of `judged`.
        split: name of the split.
        synthetic: whether the truth is synthetic.
        seed: of the bootstrap.
    """
    scores, thresholds, judged_by, states = cases
    counts = {name: table.sum(axis=0) for name, table in states.counts.items()}
    levels = measured(states, seed=seed)
    floor = hu_threshold_floor(sum((s.hounsfield for s in scores), HounsfieldHistogram()))
    units = [v for s in scores for v in s.vertebrae]
    lesions = [s.lesions for s in scores if s.lesions is not None]
    for level in ("slice", "voxel"):
        tp, fp, fn, tn = counts[f"{level}/confusion"]
        levels[level]["prevalence"] = prevalence(np.array([fp + tn, tp + fn]))
        levels[level]["pr_curve"] = pr_points(counts[f"{level}/bins"])
    levels["voxel"]["prevalence_whole_ct"] = prevalence(np.sum([s.whole for s in scores], axis=0))
    levels["voxel"]["pr_auc_hu_threshold"] = None if floor is None else floor.pr_auc
    levels["voxel"]["cases_with_hd95"] = int(counts["voxel/hd95"][1])
    levels["lesion"] |= {
        "lesions": sum(len(x.lesions) for x in lesions),
        "lesions_outside_crops": sum(x.not_shown for x in lesions),
        "froc": froc_corners(counts["lesion/bins"]),
    }
    levels["vertebra"] |= {
        "prevalence": prevalence(counts["vertebra/bins"]),
        "vertebrae": len(units),
        "measured_in": sorted({v.measured_in for v in units}),
    }
    levels["case"]["prevalence"] = prevalence(counts["case/bins"])
    for level in ("vertebra", "verdict", "case"):
        if f"{level}/bins" in counts:
            healthy, fractured = counts[f"{level}/bins"].sum(axis=-1).tolist()
            levels[level] |= {"healthy": healthy, "fractured": fractured}
            levels[level]["roc_curve"] = roc_points(counts[f"{level}/bins"])
    for level in ("slice", "voxel", "vertebra"):
        figures = levels[level]
        figures["lift"] = lift(figures["pr_auc"]["value"], figures["prevalence"])
    levels["calibration"] |= {
        "temperature": {
            "value": thresholds.temperature,
            "fitted_on": thresholds.chosen_on,
            "applied_to_map": False,
        },
        "reliability": reliability_curve(counts["calibration/raw"]),
        "reliability_scaled": (
            reliability_curve(counts["calibration/scaled"])
            if "calibration/scaled" in counts
            else []
        ),
    }
    return {
        "split": split,
        "cases": len(scores),
        "synthetic": synthetic,
        "research_use": RESEARCH_USE,
        "threshold": {"value": thresholds.fused, "chosen_on": thresholds.chosen_on},
        "slice_threshold": {"value": thresholds.slice, "chosen_on": thresholds.chosen_on},
        "vertebra_threshold": {
            "value": thresholds.vertebra,
            "chosen_on": thresholds.chosen_on,
            "rule": thresholds.vertebra_rule,
        },
        **levels,
        **tables(scores, [each.vertebra for each in judged_by], seed=seed),
    }


def write_evaluation(folder: Path, summary: Mapping[str, Any], cases: Judged) -> None:
    """Writes the tables, `states.npz`, `summary.json` and, when they stand, their digests.

    Args:
        folder: of the files.
        summary: of `summarise`.
        cases: as there.
    """
    scores, synthetic = cases.scores, summary["synthetic"]
    rows = [_case_row(score, each.fused, synthetic) for score, each in zip(scores, cases.by)]
    write_table(folder / "cases.csv", rows)
    write_table(folder / "vertebrae.csv", [row for s in scores for row in s.vertebra_rows])
    found = [row for s in scores for row in s.lesion_rows]
    write_table(folder / "lesions.csv", found, (*LESION_COLUMNS, "hit"))
    known = [row for s in scores for row in _truth_rows(s)]
    write_table(folder / "truth_lesions.csv", known, _TRUTH_COLUMNS)
    write_table(folder / "tables.csv", list(_table_rows(summary)))
    write_states(folder / "states.npz", cases.states)
    write_json(folder / "summary.json", summary)
    write_digests(folder, _WRITTEN)  # last: where they are right, all of it stands


def _truth_rows(score: CaseScores) -> Iterator[dict[str, Any]]:
    for lesion in score.lesions.lesions if score.lesions else ():
        place = lesion.level, lesion.volume_ml, lesion.recalled
        cells = (score.case.case_id, lesion.instance, *place, *lesion.found, lesion.pattern)
        yield dict(zip(_TRUTH_COLUMNS, cells, strict=True))


def _case_row(score: CaseScores, threshold: float, synthetic: bool) -> dict[str, Any]:
    tp, fp, fn, _ = confusion(score.voxels.counts, threshold)
    surface, lesions = score.surface, score.lesions
    return {
        "case_id": score.case.case_id,
        "patient_id": score.case.patient_id,
        **score.voxels.overlap(threshold),
        "pr_auc": score.voxels.average_precision(),
        "prevalence": score.voxels.prevalence,
        "hd95_mm": surface and surface.hd95_mm,
        "surface_dice_2mm": surface and surface.surface_dice,
        "lesions": lesions and len(lesions.lesions),
        "lesions_found": lesions and sum(x.found[0] is not None for x in lesions.lesions),
        "false_positives": lesions and len(lesions.false_positives[0]),
        "fractured_vertebrae": sum(v.fractured for v in score.vertebrae),
        "highest_vertebra_score": max((v.score for v in score.vertebrae), default=None),
        "truth_ml": int(tp + fn) * score.voxel_ml,
        "predicted_ml": int(tp + fp) * score.voxel_ml,
        "synthetic": synthetic,
        OUTSIDE_TRAINING: score.outside,
    }


def _table_rows(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every cell of the tables as a line: table, group, measure, value, low, high, patients."""
    for table in ("by_level", "by_size", "by_grade", "by_pattern"):
        for group, cells in summary[table].items():
            for name, cell in cells.items():
                m = cell if isinstance(cell, Mapping) else {"value": cell, "ci95": None, "n": None}
                low, high = m["ci95"] or (None, None)
                yield {
                    **{"table": table, "group": group, "measure": name, "value": m["value"]},
                    **{"low": low, "high": high, "patients": m["n"]},
                }
