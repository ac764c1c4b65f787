"""Every figure of an evaluation: from which additive counts it comes, and by which formula.

A figure is a function of counts that add up over cases. The counts of a run are kept in
`evaluation/states.npz`, one row a case, so that intervals and comparisons of runs can be computed
again without a map.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vfseg.data.npz import DamagedNpz, read_npz
from vfseg.errors import UserError
from vfseg.evaluation.calibration import calibration_error, reliability_states, suspected_error
from vfseg.evaluation.case_scores import CaseScores
from vfseg.evaluation.lesions import (
    HIT_IOU,
    false_positives_per_case,
    lesion_average_precision,
    lesion_sensitivity,
    lesion_states,
    sensitivity_at,
)
from vfseg.evaluation.metrics import (
    OVERLAP_METRICS,
    average_precision,
    confusion,
    dice,
    merge_bins,
    recall,
)
from vfseg.evaluation.ratio import ratio_of_columns
from vfseg.evaluation.verdict import probability_of
from vfseg.evaluation.vertebrae import (
    VertebraScore,
    as_cases,
    confusion_states,
    ranked_states,
    roc_auc,
    specificity,
    with_evidence,
)
from vfseg.files import atomic_file
from vfseg.inference.thresholds import Thresholds, VerdictRule


class Measure(NamedTuple):
    """A figure of the summary.

    Attributes:
        level: "slice", "voxel", "lesion", "vertebra", "verdict", "case" or "calibration".
        name: key in the summary.
        state: key of its counts.
        metric: maps counts "r ..." to values "r", NaN where undefined.
        better: 1 where more is better, -1 where less is.
    """

    level: str
    name: str
    state: str
    metric: Callable[[np.ndarray], np.ndarray]
    better: int = 1


_BY_OVERLAP = tuple(
    Measure(level, name, f"{level}/confusion", metric)
    for level in ("slice", "voxel")
    for name, metric in OVERLAP_METRICS.items()
)
MEASURES = (
    *_BY_OVERLAP[:4],
    Measure("slice", "pr_auc", "slice/bins", average_precision),
    Measure("slice", "detection_roc_auc", "slice/detection", roc_auc),
    *_BY_OVERLAP[4:],
    Measure("voxel", "pr_auc", "voxel/bins", average_precision),
    Measure("voxel", "dice_positives", "voxel/dice_positives", ratio_of_columns),
    Measure("voxel", "dice_all", "voxel/dice_all", ratio_of_columns),
    Measure("voxel", "false_positive_ml_healthy", "voxel/false_positive_ml", ratio_of_columns, -1),
    Measure("voxel", "hd95_mm", "voxel/hd95", ratio_of_columns, -1),
    Measure("voxel", "surface_dice_2mm", "voxel/surface", ratio_of_columns),
    Measure("lesion", "average_precision", "lesion/bins", lesion_average_precision),
    Measure("lesion", "sensitivity_at_1_fp", "lesion/bins", sensitivity_at),
    Measure("lesion", "sensitivity", "lesion/bins", lesion_sensitivity),
    Measure("lesion", "false_positives_per_case", "lesion/bins", false_positives_per_case, -1),
    Measure("lesion", "average_precision_iou_0.2", "lesion/bins_0.2", lesion_average_precision),
    Measure("lesion", "sensitivity_at_1_fp_iou_0.2", "lesion/bins_0.2", sensitivity_at),
    Measure("vertebra", "roc_auc", "vertebra/bins", roc_auc),
    Measure("vertebra", "pr_auc", "vertebra/bins", average_precision),
    Measure("vertebra", "sensitivity", "vertebra/confusion", recall),
    Measure("vertebra", "specificity", "vertebra/confusion", specificity),
    Measure("verdict", "roc_auc", "verdict/bins", roc_auc),
    Measure("verdict", "roc_auc_heights", "verdict/heights", roc_auc),
    Measure("verdict", "sensitivity", "verdict/likely", recall),
    Measure("verdict", "specificity", "verdict/likely", specificity),
    Measure("verdict", "sensitivity_review", "verdict/review", recall),
    Measure("verdict", "specificity_review", "verdict/review", specificity),
    Measure("case", "roc_auc", "case/bins", roc_auc),
    Measure("case", "sensitivity", "case/confusion", recall),
    Measure("case", "specificity", "case/confusion", specificity),
    Measure("calibration", "ece", "calibration/raw", calibration_error, -1),
    Measure("calibration", "ece_suspected", "calibration/raw", suspected_error, -1),
    Measure("calibration", "ece_scaled", "calibration/scaled", calibration_error, -1),
    Measure("calibration", "ece_suspected_scaled", "calibration/scaled", suspected_error, -1),
)


def case_states(
    scores: Sequence[CaseScores], thresholds: Sequence[Thresholds]
) -> dict[str, np.ndarray]:
    """The additive counts of every figure, each "cases ...".

    Args:
        scores: with lesions and surfaces, that is, of a thresholded map.
        thresholds: those of the model that predicted a case, one for each; they differ where
            several models predicted a part of the cases each.
    """
    states = {}
    temperatures = [t.temperature for t in thresholds if t.temperature is not None]
    for level, histograms, cuts in (
        ("slice", [s.slices.histogram for s in scores], [t.slice for t in thresholds]),
        ("voxel", [s.voxels for s in scores], [t.fused for t in thresholds]),
    ):
        counts = [histogram.counts for histogram in histograms]
        states[f"{level}/confusion"] = np.stack([confusion(n, x) for n, x in zip(counts, cuts)])
        states[f"{level}/bins"] = merge_bins(np.stack(counts))
        if level == "voxel":
            states["calibration/raw"] = np.stack([reliability_states(n) for n in counts])
            if len(temperatures) == len(counts):
                scaled = [reliability_states(n, t) for n, t in zip(counts, temperatures)]
                states["calibration/scaled"] = np.stack(scaled)
    if all(s.slices.units for s in scores):
        states["slice/detection"] = ranked_states([s.slices.units for s in scores])
    vertebrae = [s.vertebrae for s in scores]
    states["voxel/dice_positives"] = _over(vertebrae, _dice_where_fractured)
    states["voxel/dice_all"] = _over(vertebrae, _dice_of_any)
    states["voxel/false_positive_ml"] = _over(vertebrae, _false_ml_where_healthy)
    surfaces = [s.surface for s in scores if s.surface is not None]
    distances = [s.hd95_mm for s in surfaces]
    states["voxel/hd95"] = np.array([(x or 0.0, x is not None) for x in distances], np.float64)
    states["voxel/surface"] = np.array([(s.near, s.points) for s in surfaces], np.float64)
    lesions = [s.lesions for s in scores if s.lesions is not None]
    for reading, name in enumerate(("lesion/bins", f"lesion/bins_{HIT_IOU[1]:g}")):
        states[name] = lesion_states(lesions, reading)
    units = {
        "vertebra": [[(v.score, v.fractured) for v in case] for case in vertebrae],
        "case": as_cases(vertebrae),
    }
    for level, cases in units.items():
        states[f"{level}/bins"] = ranked_states(cases)
        states[f"{level}/confusion"] = confusion_states(cases, [t.vertebra for t in thresholds])
    rules = [t.verdict for t in thresholds if t.verdict is not None]
    if len(rules) == len(scores):
        states |= _verdict_states(vertebrae, rules)
    return states


def _verdict_states(
    cases: Sequence[Sequence[VertebraScore]], rules: Sequence[VerdictRule]
) -> dict[str, np.ndarray]:
    """Counts of vertebrae by the probability of a fracture, of all evidence and of heights alone.

    Whoever has no evidence of a kind is not counted there.
    """
    every: list[list[tuple[float, bool]]] = []
    heights: list[list[tuple[float, bool]]] = []
    for case, rule in zip(cases, rules, strict=True):
        known = with_evidence(case)
        of_heights = [(evidence._replace(map=None), truth) for evidence, truth in known]
        for units, column in ((known, every), (of_heights, heights)):
            judged = [(probability_of(rule, evidence), truth) for evidence, truth in units]
            column.append([(p, truth) for p, truth in judged if p is not None])
    return {
        "verdict/bins": ranked_states(every),
        "verdict/heights": ranked_states(heights),
        "verdict/likely": confusion_states(every, [rule.likely for rule in rules]),
        "verdict/review": confusion_states(every, [rule.review for rule in rules]),
    }


def _over(
    cases: Sequence[Sequence[VertebraScore]], value: Callable[[VertebraScore], float | None]
) -> np.ndarray:
    """Sum and number of a value of the vertebrae that have one, float64 "cases 2"."""
    values = [[x for v in case if (x := value(v)) is not None] for case in cases]
    return np.array([(sum(row), len(row)) for row in values], np.float64)


def _dice_where_fractured(vertebra: VertebraScore) -> float | None:
    return float(dice(np.array(vertebra.overlap))) if vertebra.fractured else None


def _dice_of_any(vertebra: VertebraScore) -> float:
    """Dice of a fractured vertebra; of a healthy one 1 where nothing is predicted, else 0."""
    found = _dice_where_fractured(vertebra)
    return float(vertebra.predicted_ml == 0) if found is None else found


def _false_ml_where_healthy(vertebra: VertebraScore) -> float | None:
    return None if vertebra.fractured else vertebra.overlap[1] * vertebra.voxel_ml


class States(NamedTuple):
    """The counts of a run, as `evaluation/states.npz` keeps them.

    Attributes:
        cases: case ids, one a row.
        patients: their patients.
        fingerprints: of the prepared cases.
        counts: name -> "cases ...".
    """

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    fingerprints: tuple[str, ...]
    counts: dict[str, np.ndarray]


def write_states(path: Path, states: States) -> None:
    """Writes the counts of a run."""
    names = {f"name/{key}": np.array(getattr(states, key), str) for key in States._fields[:3]}
    with atomic_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **names, **states.counts)


def read_states(path: Path) -> States:
    """Reads the counts of a run.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    remedy = "Run --mode evaluate in that workdir."
    try:
        counts = read_npz(path)
        names = [counts.pop(f"name/{key}") for key in States._fields[:3]]
        if wrong := _misfit(names, counts):
            raise DamagedNpz(wrong)
    except FileNotFoundError:
        raise UserError(f"{path}: not evaluated yet. {remedy}") from None
    except (KeyError, DamagedNpz) as error:
        raise UserError(f"{path}: is damaged ({error}). {remedy}") from error
    cases, patients, fingerprints = (tuple(table.tolist()) for table in names)
    return States(cases, patients, fingerprints, counts)


def _misfit(names: Sequence[np.ndarray], counts: dict[str, np.ndarray]) -> str:
    """What is wrong with names and counts, in words; "" where figures can be made of them."""
    rows = names[0].shape
    if len(rows) != 1 or any(t.shape != rows or t.dtype.kind != "U" for t in names):
        return "its cases, patients and fingerprints are not a text each, one a case"
    for name, table in counts.items():
        if table.dtype.kind not in "biuf" or table.ndim < 2 or table.shape[:1] != rows:
            return f"{name}: expected counts, one row a case"
        if not (np.isfinite(table).all() and (table >= 0).all()):
            return f"{name}: expected counts from 0"
    for measure in MEASURES:
        try:
            if measure.state in counts:
                measure.metric(counts[measure.state].sum(axis=0, keepdims=True))
        except (ValueError, IndexError, TypeError) as error:
            return f"{measure.state}: no counts of {measure.name} ({error})"
    return ""
