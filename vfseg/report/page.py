"""One offline page of a run: results first, then training, then every case."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vfseg.data.outputs import OUTSIDE_TRAINING
from vfseg.drawing.figures import Picture
from vfseg.drawing.page import write_html
from vfseg.errors import UserError, quantity
from vfseg.evaluation.summary_shape import REMEDY, SUMMARY
from vfseg.files import read_table
from vfseg.report.case_page import PAGE
from vfseg.report.curves import training_curves
from vfseg.report.meanings import meanings_of
from vfseg.report.result_curves import result_curves
from vfseg.report.results_table import (
    GROUPS,
    LEVELS,
    GroupTable,
    LevelTable,
    groups_of,
    levels_of,
    measure_row,
)
from vfseg.report.wording import NOT_KNOWN, lift_of, name_of, shown, shown_cell
from vfseg.schemas import read_checked

_HEADLINE = (
    ("voxel", "dice", "voxel Dice"),
    ("voxel", "pr_auc", "voxel PR-AUC"),
    ("slice", "pr_auc", "slice PR-AUC"),
    ("lesion", "average_precision", "lesion average precision"),
    ("vertebra", "roc_auc", "vertebra ROC-AUC"),
)
_DOWNLOADS = {
    PAGE: "the page of this CT",
    "probability.nii.gz": "probability map (NIfTI)",
    "mask.nii.gz": "mask at the threshold (NIfTI)",
    "spine.glb": "3D meshes (GLB)",
    "spine-bone.stl": "bone (STL)",
    "spine-fracture.stl": "predicted fracture (STL)",
    "spine-truth.stl": "true fracture (STL)",
}
_LISTS = {
    "vertebrae.csv": "vertebrae",
    "lesions.csv": "predicted lesions, from 10 mm³ on as the figures count them",
    "truth_lesions.csv": "lesions of the truth",
    "cases.csv": "cases",
    "tables.csv": "tables",
}

Links = list[tuple[Path, str]]
"""Files that stand, each with the words that link it."""


class Card(NamedTuple):
    """A figure of the headline, and the lines below it."""

    value: str
    lines: tuple[str, ...]


class Results(NamedTuple):
    """What the page shows of an evaluation.

    Attributes:
        cards: the figures that come first.
        words: what was evaluated, and how.
        levels: every measure.
        curves: precision-recall, ROC, FROC and reliability.
        groups: tables by level, size, grade and pattern.
        meanings: name of each measure and column that the page shows, and what it says.
        lists: the CSV files.
    """

    cards: list[Card]
    words: str
    levels: tuple[LevelTable, ...]
    curves: list[Picture]
    groups: tuple[GroupTable, ...]
    meanings: list[tuple[str, str]]
    lists: Links


class CaseEntry(NamedTuple):
    """What the page shows of a case.

    Attributes:
        name: its id.
        facts: name and value of what is known of it.
        warning: what its scores must be read with; "" where there is nothing.
        files: to download.
        pictures: in the order to show them.
    """

    name: str
    facts: list[tuple[str, str]]
    warning: str
    files: Links
    pictures: Sequence[Picture]


def write_page(workdir: Path, pictures: Mapping[str, Sequence[Picture]]) -> Path:
    """Writes `report/index.html` from what stands in the workdir.

    Reads `evaluation/summary.json`, `evaluation/cases.csv` and `metrics.jsonl`, and links the
    files in `predictions/CASE/` and `report/CASE/`; the page says what is missing. It refers to
    nothing outside the workdir and holds no script.

    Args:
        workdir: of the run.
        pictures: of each case, by case id, in the order to show them.

    Returns:
        Path of the page.

    Raises:
        UserError: `summary.json` is damaged, or the page cannot be written.
    """
    summary = read_checked(workdir / "evaluation" / "summary.json", SUMMARY, REMEDY)
    rows = _rows(workdir / "evaluation" / "cases.csv")
    names = [*rows, *(name for name in pictures if name not in rows)]
    page = workdir / "report" / "index.html"
    write_html(
        page,
        "vfseg.report",
        "report.html.j2",
        kind="report",
        title=workdir.resolve().name,
        notice=_notice(summary),
        results=None if summary is None else _results(summary, rows, workdir),
        training=training_curves(workdir / "metrics.jsonl", workdir / "report" / "curves"),
        cases=[_case(name, rows.get(name, {}), pictures.get(name, ()), workdir) for name in names],
    )
    return page


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """Rows of `cases.csv` by case id; none where it is missing."""
    if not path.exists():
        return {}
    columns, rows = read_table(path)
    if "case_id" not in columns:
        raise UserError(f"{path}: damaged (no column case_id). {REMEDY}")
    return {row.cells["case_id"]: row.cells for row in rows}


def _notice(summary: Mapping[str, Any] | None) -> str:
    if not summary:
        return "There is no reference: nothing here has been measured against a truth."
    if summary.get("synthetic"):
        return (
            "The truth is synthetic: spines and fractures were made by a program. "
            "These results say nothing about patients."
        )
    return "The reference is what the data set gives as fractures."


def _outside(rows: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Cases outside the range of training, and what of each of them is."""
    found = {name: row.get(OUTSIDE_TRAINING, "") for name, row in rows.items()}
    return {name: what for name, what in found.items() if what}


def _results(
    summary: Mapping[str, Any], rows: Mapping[str, Mapping[str, str]], workdir: Path
) -> Results:
    cards = []
    names = [key for level in LEVELS for key in summary.get(level) or {}]
    cells = [key for group in GROUPS for row in (summary.get(group) or {}).values() for key in row]
    facts = [key for row in rows.values() for key in row]
    for level, key, name in _HEADLINE:
        measures = summary.get(level) or {}
        if measures.get(key):
            row = measure_row(level, measures, key)
            lines = [name, f"95 % interval {row.interval}"]
            if key == "pr_auc" and lift_of(measures):
                lines.append(lift_of(measures))
            cards.append(Card(row.value, tuple(lines)))
    return Results(
        cards,
        _evaluated(summary, _outside(rows)),
        levels_of(summary),
        result_curves(summary, workdir / "report" / "curves"),
        groups_of(summary),
        meanings_of([*names, *cells, *facts]),
        _standing(workdir / "evaluation", _LISTS),
    )


def _evaluated(summary: Mapping[str, Any], outside: Mapping[str, str]) -> str:
    cases, threshold = summary.get("cases"), summary.get("threshold")
    words = f"{NOT_KNOWN} cases" if cases is None else quantity(cases, "case")
    words += f" of the split “{summary.get('split', NOT_KNOWN)}”."
    if threshold:
        words += f" Threshold {shown(threshold['value'])}, chosen on {threshold['chosen_on']}."
    if outside:
        named = "; ".join(f"{name}: {what}" for name, what in outside.items())
        words += f" {quantity(len(outside), 'case')} outside the range of training ({named})."
    return words + " Intervals: bootstrap over patients."


def _case(
    name: str, row: Mapping[str, str], pictures: Sequence[Picture], workdir: Path
) -> CaseEntry:
    facts = [(name_of(key), shown_cell(cell)) for key, cell in row.items() if key != "case_id"]
    folders = workdir / "predictions" / name, workdir / "report" / name
    files = [file for folder in folders for file in _standing(folder, _DOWNLOADS)]
    outside = row.get(OUTSIDE_TRAINING, "")
    warning = outside and f"Outside the range of training ({outside}): scores may mean little."
    return CaseEntry(name, facts, warning, files, pictures)


def _standing(folder: Path, names: Mapping[str, str]) -> Links:
    """Those files of a folder that stand, each with its words."""
    return [(folder / name, words) for name, words in names.items() if (folder / name).exists()]
