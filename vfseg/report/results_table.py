"""The summary of an evaluation as a table: HTML for the page, plain text for the terminal."""

from collections.abc import Mapping
from html import escape
from typing import Any

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.instances import LESION_MM3
from vfseg.evaluation import metrics
from vfseg.evaluation.lesions import HIT_IOU
from vfseg.evaluation.vertebrae import PERCENTILE

_LEVELS = {
    "voxel": "Voxel: fused map on the CT's own grid, inside the crops",
    "slice": "Slice: unfused target slices",
    "lesion": f"Lesion: components of at least {LESION_MM3:g} mm³ against instances, "
    f"hit from IoU {HIT_IOU[0]:g} on",
    "vertebra": f"Vertebra: {PERCENTILE:g}th percentile of the map in its mask grown by "
    f"{ATTRIBUTION_MARGIN_MM:g} mm",
    "case": "Case: its highest vertebra",
    "calibration": "Calibration of the fused map; scaled: by the temperature of validation",
}
_TABLES = {
    "by_level": "By level",
    "by_size": "By size of the lesion (quartiles)",
    "by_grade": "By grade (Genant; 0: no loss of height)",
    "by_pattern": "By pattern of the fracture",
}
_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "pr_auc": "PR-AUC",
    "roc_auc": "ROC-AUC",
    "detection_roc_auc": "ROC-AUC, any fracture in a slice",
    "average_precision": "Average precision",
    "sensitivity_at_1_fp": "Sensitivity at 1 false positive per case",
    "average_precision_iou_0.2": "Average precision, hit from IoU 0.2 on",
    "sensitivity_at_1_fp_iou_0.2": "The same, hit from IoU 0.2 on",
    "false_positives_per_case": "False positives per case",
    "dice_positives": "Dice of fractured vertebrae, mean",
    "dice_all": "Dice of all vertebrae, mean (empty is 1)",
    "false_positive_ml_healthy": "False positives a healthy vertebra, mL",
    "hd95_mm": "HD95, mm, mean of cases",
    "surface_dice_2mm": "Surface Dice at 2 mm",
    "ece": "ECE, all voxels",
    "ece_suspected": "ECE, voxels from 1/15 on",
    "ece_scaled": "ECE, all voxels, scaled",
    "ece_suspected_scaled": "ECE, voxels from 1/15 on, scaled",
    "lesion_sensitivity": "Sensitivity, lesions",
    "truth_ml": "Truth, mL",
    "predicted_ml": "Predicted, mL",
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
        return "–"
    return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.3g}"


def interval_of(measure: Mapping[str, Any]) -> str:
    """95 % interval of a measure, or why there is none."""
    if measure.get("ci95"):
        low, high = measure["ci95"]
        return f"{shown(low)}\N{NO-BREAK SPACE}–\N{NO-BREAK SPACE}{shown(high)}"
    return "–" if measure.get("value") is None else "none (too few patients)"


def is_measure(entry: Any) -> bool:
    """Whether an entry of the summary is {"value", "ci95", "n"}."""
    return isinstance(entry, Mapping) and "ci95" in entry


def lift(level: Mapping[str, Any]) -> str:
    """PR-AUC over prevalence: how many times better than a random scorer; "" where unknown."""
    times = metrics.lift(level["pr_auc"]["value"], level.get("prevalence"))
    return "" if times is None else f"{times:.3g} × prevalence"


def results_table(summary: Mapping[str, Any]) -> str:
    """One body a level; every PR-AUC stands beside its prevalence, its lift and its floor.

    Args:
        summary: content of `summary.json`. Levels that are null say so.

    Returns:
        HTML of the table.
    """
    bodies = []
    for level, title in _LEVELS.items():
        measures = summary.get(level)
        rows = [f'<tr class="level"><th colspan="4" scope="rowgroup">{escape(title)}</th></tr>']
        if not measures:
            rows.append('<tr><td colspan="4">not measured</td></tr>')
            measures = {}
        for key, measure in measures.items():
            if is_measure(measure):
                rows.append(_row(name_of(key), measure))
                if key == "pr_auc":
                    beside = escape(_beside_pr_auc(measures))
                    rows.append(f'<tr class="beside"><td colspan="4">{beside}</td></tr>')
        bodies.append(f"<tbody>{''.join(rows)}</tbody>")
    heads = ("Measure", "Value", "95 % interval", "Patients")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f"<table><thead><tr>{head}</tr></thead>{''.join(bodies)}</table>"


def group_tables(summary: Mapping[str, Any]) -> str:
    """The tables by level, size, grade and pattern; "" where the summary has none.

    Args:
        summary: content of `summary.json`.

    Returns:
        HTML: a heading and a table each, intervals in brackets.
    """
    parts = []
    for key, title in _TABLES.items():
        groups = summary.get(key) or {}
        if not groups:
            continue
        names = list(dict.fromkeys(name for cells in groups.values() for name in cells))
        heads = "".join(f'<th scope="col">{escape(name_of(name))}</th>' for name in ("", *names))
        rows = "".join(
            f'<tr><th scope="row">{escape(group)}</th>'
            + "".join(f"<td>{escape(_cell(cells.get(name)))}</td>" for name in names)
            + "</tr>"
            for group, cells in groups.items()
        )
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        parts.append(f'<h3>{escape(title)}</h3><div class="scroll">{table}</div>')
    return "".join(parts)


def _cell(entry: Any) -> str:
    if entry is None:
        return ""
    if not is_measure(entry):
        return str(entry)
    value = shown(entry["value"])
    return f"{value} ({interval_of(entry)})" if entry.get("ci95") else value


def results_text(summary: Mapping[str, Any]) -> str:
    """The same table for the terminal.

    Args:
        summary: content of `summary.json`. Levels that are null say so.

    Returns:
        Lines of text, the last without a line break.
    """
    lines = [f"{'measure':<50}{'value':>8}   {'95 % interval':<24}{'patients':>8}"]
    for level in _LEVELS:
        measures = summary.get(level)
        if not measures:
            lines.append(f"{level}: not measured")
            continue
        for key, measure in measures.items():
            if is_measure(measure):
                bounds = interval_of(measure).replace("\N{NO-BREAK SPACE}", " ")
                name = f"{level} {name_of(key)}"
                value, patients = shown(measure["value"]), measure.get("n", "–")
                lines.append(f"{name:<50}{value:>8}   {bounds:<24}{patients:>8}")
            if key == "pr_auc":
                lines.append(f"  {_beside_pr_auc(measures)}")
    if summary.get("synthetic"):
        lines.append("The truth is synthetic: these results say nothing about patients.")
    return "\n".join(lines)


def _row(name: str, measure: Mapping[str, Any]) -> str:
    cells = (shown(measure["value"]), interval_of(measure), str(measure.get("n", "–")))
    data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{data}</tr>'


def _beside_pr_auc(level: Mapping[str, Any]) -> str:
    parts = [lift(level)] if lift(level) else []
    for key, words in (
        ("prevalence", "prevalence"),
        ("prevalence_whole_ct", "prevalence in the whole CT"),
        ("pr_auc_hu_threshold", "best of 50 HU thresholds"),
    ):
        if key in level:
            parts.append(f"{words} {shown(level[key])}")
    return "; ".join(parts)
