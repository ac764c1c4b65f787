"""The summary of an evaluation in tables: for the page, and as plain text for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.instances import LESION_MM3
from vfseg.evaluation.lesions import HIT_IOU
from vfseg.evaluation.map_evidence import EVIDENCE_ML
from vfseg.evaluation.phrases import listed_words
from vfseg.report.meanings import name_of
from vfseg.report.texts import counted, text
from vfseg.report.wording import NOT_KNOWN, has_interval, interval_of, is_measure, lift_of, shown

LEVELS = ("voxel", "slice", "lesion", "vertebra", "verdict", "case", "calibration")
GROUPS = ("by_level", "by_size", "by_grade", "by_pattern")
_SETTINGS = {
    "least": LESION_MM3,
    "iou": HIT_IOU[0],
    "evidence": EVIDENCE_ML,
    "margin": ATTRIBUTION_MARGIN_MM,
}
_UNITS = {"vertebra": "vertebra", "verdict": "vertebra", "case": "case"}


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


def levels_of(summary: Mapping[str, Any], language: str = "en") -> tuple[LevelTable, ...]:
    """Every level; figures stand beside what they must be read with, see `MeasureRow`.

    Args:
        summary: content of `summary.json`.
        language: one of `phrases.LANGUAGES`.
    """
    return tuple(
        LevelTable(
            key,
            text(language, f"level_{key}", **_SETTINGS),
            tuple(_measures(key, summary.get(key) or {}, language)),
        )
        for key in LEVELS
    )


def measure_row(of: str, level: Mapping[str, Any], key: str, language: str = "en") -> MeasureRow:
    """A measure of a level in words.

    Args:
        of: key of the level.
        level: its entry in the summary.
        key: of the measure.
        language: one of `phrases.LANGUAGES`.
    """
    measure = level[key]
    value, interval = shown(measure["value"]), interval_of(measure, language)
    patients = NOT_KNOWN if measure.get("n") is None else str(measure["n"])
    if key == "pr_auc":
        beside = _beside_pr_auc(level, language)
    else:
        beside, fewest = _counted(of, level, key, language)
        if fewest == 1:
            value, interval = NOT_KNOWN, text(language, "single")
    return MeasureRow(name_of(key, language), value, interval, patients, beside)


def _measures(of: str, level: Mapping[str, Any], language: str) -> Iterator[MeasureRow]:
    for key, measure in level.items():
        if is_measure(measure):
            yield measure_row(of, level, key, language)


def _counted(of: str, level: Mapping[str, Any], key: str, language: str) -> tuple[str, int | None]:
    """How many units a measure is from, in words, and the fewest of a kind, where that is known."""
    if key == "hd95_mm" and "cases_with_hd95" in level:
        cases = counted(language, level["cases_with_hd95"], "case")
        return text(language, "mean_of", cases=cases), None
    if of == "lesion" and "sensitivity" in key and "lesions" in level:
        return _out_of(language, counted(language, level["lesions"], "lesion")), None
    if of not in _UNITS or "fractured" not in level or key == "roc_auc_heights":
        return "", None
    fractured = counted(language, level["fractured"], f"fractured_{_UNITS[of]}")
    healthy = counted(language, level["healthy"], f"healthy_{_UNITS[of]}")
    if key.startswith("sensitivity"):
        return _out_of(language, fractured), level["fractured"]
    if key.startswith("specificity"):
        return _out_of(language, healthy), level["healthy"]
    fewest = min(level["fractured"], level["healthy"])
    return text(language, "and_also", one=fractured, other=healthy), fewest


def _out_of(language: str, what: str) -> str:
    return text(language, "out_of", what=what)


def _beside_pr_auc(level: Mapping[str, Any], language: str) -> str:
    parts = [lift_of(level, language)]
    for key in ("prevalence", "prevalence_whole_ct", "pr_auc_hu_threshold"):
        if key in level:
            parts.append(text(language, f"beside_{key}", value=shown(level[key])))
    return text(language, "between").join(filter(None, parts))


def groups_of(summary: Mapping[str, Any], language: str = "en") -> tuple[GroupTable, ...]:
    """The tables by level, size, grade and pattern; those that the summary has.

    Args:
        summary: content of `summary.json`.
        language: one of `phrases.LANGUAGES`.
    """
    return tuple(
        _group(text(language, key), summary[key], language) for key in GROUPS if summary.get(key)
    )


def _group(title: str, groups: Mapping[str, Mapping[str, Any]], language: str) -> GroupTable:
    keys = list(dict.fromkeys(key for cells in groups.values() for key in cells))
    rows = (
        (listed_words(language, name), tuple(_cell(cells.get(key), language) for key in keys))
        for name, cells in groups.items()
    )
    header = ("", *(name_of(column_of(key), language) for key in keys))
    return GroupTable(title, header, tuple(rows))


def column_of(key: str) -> str:
    """What a measure of a group is called by, see `name_of`: there vertebrae stand beside lesions.

    >>> column_of("sensitivity"), column_of("lesion_sensitivity")
    ('vertebra_sensitivity', 'lesion_sensitivity')
    """
    return f"vertebra_{key}" if key in ("sensitivity", "specificity") else key


def _cell(entry: Any, language: str) -> str:
    if entry is None:
        return ""
    if not is_measure(entry):
        return str(entry)
    value, patients = shown(entry["value"]), entry.get("n")
    if has_interval(entry):
        return f"{value} ({interval_of(entry)})"
    if entry["value"] is None or patients is None:
        return value
    return text(language, "value_of", value=value, what=counted(language, patients, "patient"))


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
