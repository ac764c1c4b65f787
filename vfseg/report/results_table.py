"""The summary of an evaluation in tables: for the page, and as plain text for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.instances import LESION_MM3
from vfseg.errors import quantity
from vfseg.evaluation.lesions import HIT_IOU
from vfseg.evaluation.map_evidence import EVIDENCE_ML
from vfseg.report.wording import NOT_KNOWN, interval_of, is_measure, lift_of, name_of, shown

LEVELS = {
    "voxel": "Voxel: fused map on the CT's own grid, inside the crops",
    "slice": "Slice: unfused target slices",
    "lesion": f"Lesion: components of at least {LESION_MM3:g} mm³ against instances, "
    f"hit at IoU ≥ {HIT_IOU[0]:g}",
    "vertebra": f"Vertebra, map alone: mean of its highest {EVIDENCE_ML:g} mL in the mask grown by "
    f"{ATTRIBUTION_MARGIN_MM:g} mm",
    "verdict": "Vertebra, verdict from map and heights: fracture likely; from review on",
    "case": "Case: its highest vertebra",
    "calibration": "Calibration of the fused map; scaled: by the temperature of validation",
}
_UNITS = {
    "vertebra": ("vertebra", "vertebrae"),
    "verdict": ("vertebra", "vertebrae"),
    "case": ("case", "cases"),
}
GROUPS = {
    "by_level": "By level",
    "by_size": "By size of the lesion (quartiles)",
    "by_grade": "By grade (Genant; 0: no loss of height)",
    "by_pattern": "By pattern of the fracture",
}


class MeasureRow(NamedTuple):
    """A measure in words.

    Attributes:
        name: of the measure.
        value: rounded.
        interval: 95 % interval, or why there is none.
        patients: how many there were.
        beside: what the figure must be read with: prevalence, lift and floor of a PR-AUC, and of
            others how many units there were; "" where there is nothing to say.
    """

    name: str
    value: str
    interval: str
    patients: str
    beside: str = ""


class LevelTable(NamedTuple):
    """What was measured on one level.

    Attributes:
        key: in the summary.
        title: what the level is.
        rows: its measures; none where it was not measured.
    """

    key: str
    title: str
    rows: tuple[MeasureRow, ...]


class GroupTable(NamedTuple):
    """Figures by level, size, grade or pattern.

    Attributes:
        title: by what.
        header: names of the columns.
        rows: name of a group and its cells, intervals in brackets.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def levels_of(summary: Mapping[str, Any]) -> tuple[LevelTable, ...]:
    """Every level; figures stand beside what they must be read with, see `MeasureRow`.

    Args:
        summary: content of `summary.json`.
    """
    return tuple(
        LevelTable(key, title, tuple(_measures(key, summary.get(key) or {})))
        for key, title in LEVELS.items()
    )


def measure_row(of: str, level: Mapping[str, Any], key: str) -> MeasureRow:
    """A measure of a level in words.

    Args:
        of: key of the level.
        level: its entry in the summary.
        key: of the measure.
    """
    measure = level[key]
    value, interval, patients = shown(measure["value"]), interval_of(measure), measure.get("n")
    if key == "pr_auc":
        beside = _beside_pr_auc(level)
    else:
        beside, fewest = _counted(of, level, key)
        if fewest == 1:
            value, interval = NOT_KNOWN, "none (a single one)"
    patients = NOT_KNOWN if patients is None else str(patients)
    return MeasureRow(name_of(key), value, interval, patients, beside)


def _measures(of: str, level: Mapping[str, Any]) -> Iterator[MeasureRow]:
    for key, measure in level.items():
        if is_measure(measure):
            yield measure_row(of, level, key)


def _counted(of: str, level: Mapping[str, Any], key: str) -> tuple[str, int | None]:
    """How many units a measure is from, in words, and the fewest of a kind, where that is known."""
    if key == "hd95_mm" and "cases_with_hd95" in level:
        number = level["cases_with_hd95"]
        return f"mean of {quantity(number, 'case')} with both truth and prediction", None
    if of == "lesion" and "sensitivity" in key and "lesions" in level:
        return f"of {quantity(level['lesions'], 'lesion')}", None
    if of not in _UNITS or "fractured" not in level or key == "roc_auc_heights":
        return "", None
    one, many = _UNITS[of]
    fractured = quantity(level["fractured"], f"fractured {one}", f"fractured {many}")
    healthy = quantity(level["healthy"], f"{one} without a fracture", f"{many} without a fracture")
    if key.startswith("sensitivity"):
        return f"of {fractured}", level["fractured"]
    if key.startswith("specificity"):
        return f"of {healthy}", level["healthy"]
    return f"{fractured}, {healthy}", min(level["fractured"], level["healthy"])


def _beside_pr_auc(level: Mapping[str, Any]) -> str:
    parts = [lift_of(level)] if lift_of(level) else []
    for key, words in (
        ("prevalence", "prevalence"),
        ("prevalence_whole_ct", "prevalence in the whole CT"),
        ("pr_auc_hu_threshold", "best of 50 HU thresholds"),
    ):
        if key in level:
            parts.append(f"{words} {shown(level[key])}")
    return "; ".join(parts)


def groups_of(summary: Mapping[str, Any]) -> tuple[GroupTable, ...]:
    """The tables by level, size, grade and pattern; those that the summary has.

    Args:
        summary: content of `summary.json`.
    """
    return tuple(_group(title, summary[key]) for key, title in GROUPS.items() if summary.get(key))


def _group(title: str, groups: Mapping[str, Mapping[str, Any]]) -> GroupTable:
    keys = list(dict.fromkeys(key for cells in groups.values() for key in cells))
    rows = ((name, tuple(_cell(cells.get(key)) for key in keys)) for name, cells in groups.items())
    return GroupTable(title, ("", *map(name_of, keys)), tuple(rows))


def _cell(entry: Any) -> str:
    if entry is None:
        return ""
    if not is_measure(entry):
        return str(entry)
    value, patients = shown(entry["value"]), entry.get("n")
    if entry.get("ci95"):
        return f"{value} ({interval_of(entry)})"
    few = entry["value"] is not None and patients is not None
    return f"{value} (of {quantity(patients, 'patient')})" if few else value


def results_text(summary: Mapping[str, Any]) -> str:
    """The levels for the terminal.

    Args:
        summary: content of `summary.json`. Levels that are null say so.

    Returns:
        Lines of text, the last without a line break.
    """
    lines = [f"{'measure':<50}{'value':>8}   {'95 % interval':<24}{'patients':>8}"]
    for level in levels_of(summary):
        if not level.rows:
            lines.append(f"{level.key}: not measured")
        for row in level.rows:
            interval = row.interval.replace("\N{NO-BREAK SPACE}", " ")
            name = f"{level.key} {row.name}"
            lines.append(f"{name:<50}{row.value:>8}   {interval:<24}{row.patients:>8}")
            if row.beside:
                lines.append(f"  {row.beside}")
    if summary.get("synthetic"):
        lines.append("The truth is synthetic: these results say nothing about patients.")
    return "\n".join(lines)
