"""How the report names and rounds what an evaluation measured."""

from collections.abc import Mapping
from typing import Any

from vfseg.evaluation import metrics
from vfseg.evaluation.calibration import RELIABILITY_BINS
from vfseg.evaluation.lesions import HIT_IOU

NOT_KNOWN = "–"

_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "pr_auc": "PR-AUC",
    "roc_auc": "ROC-AUC",
    "detection_roc_auc": "ROC-AUC, any fracture in a slice",
    "roc_auc_heights": "ROC-AUC, heights alone",
    "sensitivity_review": "Sensitivity, review or likely",
    "specificity_review": "Specificity, review or likely",
    "average_precision": "Average precision",
    "sensitivity_at_1_fp": "Sensitivity at 1 false positive per case",
    f"average_precision_iou_{HIT_IOU[1]:g}": f"Average precision, hit at IoU ≥ {HIT_IOU[1]:g}",
    f"sensitivity_at_1_fp_iou_{HIT_IOU[1]:g}": (
        f"Sensitivity at 1 false positive per case, IoU ≥ {HIT_IOU[1]:g}"
    ),
    "false_positives_per_case": "False positives per case",
    "dice_positives": "Dice of fractured vertebrae, mean",
    "dice_all": "Dice of all vertebrae, mean (empty is 1)",
    "false_positive_ml_healthy": "False positives per healthy vertebra, mL",
    "hd95_mm": "HD95, mm",
    "surface_dice_2mm": "Surface Dice at 2 mm",
    "ece": "ECE, all voxels",
    "ece_suspected": f"ECE, voxels ≥ 1/{RELIABILITY_BINS}",
    "ece_scaled": "ECE, all voxels, scaled",
    "ece_suspected_scaled": f"ECE, voxels ≥ 1/{RELIABILITY_BINS}, scaled",
    "lesion_sensitivity": "Sensitivity, lesions",
    "truth_ml": "Truth, mL",
    "predicted_ml": "Predicted, mL",
    "specks_ml": "Predicted in no listed lesion, mL",
}


def name_of(key: str) -> str:
    """How a measure is called on the page.

    >>> name_of("pr_auc"), name_of("dice_loss")
    ('PR-AUC', 'Dice loss')
    """
    return _NAMES.get(key) or key.replace("_", " ").capitalize()


def shown(value: float | None) -> str:
    """A figure with three significant places below 0.1, three decimals above.

    >>> shown(0.5678), shown(0.00231), shown(None)
    ('0.568', '0.00231', '–')
    """
    if value is None:
        return NOT_KNOWN
    return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.3g}"


def shown_cell(cell: str | None) -> str:
    """A cell of a table: figures as `shown`, whole numbers and words as they are, else a dash.

    >>> shown_cell("0.56789"), shown_cell("3"), shown_cell("sub-01"), shown_cell("")
    ('0.568', '3', 'sub-01', '–')
    """
    if not cell:
        return NOT_KNOWN
    if cell.isdecimal():
        return cell
    try:
        return shown(float(cell))
    except ValueError:
        return cell


def is_measure(entry: Any) -> bool:
    """Whether an entry of the summary is {"value", "ci95", "n"}."""
    return isinstance(entry, Mapping) and "ci95" in entry


def interval_of(measure: Mapping[str, Any]) -> str:
    """95 % interval of a measure, or why there is none."""
    if measure.get("ci95"):
        low, high = measure["ci95"]
        return f"{shown(low)}\N{NO-BREAK SPACE}–\N{NO-BREAK SPACE}{shown(high)}"
    return NOT_KNOWN if measure.get("value") is None else "none (too few patients)"


def lift_of(level: Mapping[str, Any]) -> str:
    """PR-AUC of a level as a multiple of the prevalence; "" where that is not known."""
    times = metrics.lift(level["pr_auc"]["value"], level.get("prevalence"))
    return "" if times is None else f"{times:.3g} × prevalence"
