"""One offline page of a run: results first, then training, then every case."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vfseg.data.instances import LESION_MM3
from vfseg.data.outputs import OUTSIDE_TRAINING
from vfseg.drawing.figures import Picture
from vfseg.drawing.page import write_html
from vfseg.errors import UserError
from vfseg.evaluation.phrases import listed_words
from vfseg.evaluation.summary_shape import REMEDY, SUMMARY
from vfseg.files import read_table
from vfseg.report.case_page import PAGE
from vfseg.report.curves import training_curves
from vfseg.report.meanings import meanings_of, name_of
from vfseg.report.result_curves import result_curves
from vfseg.report.results_table import (
    GROUPS,
    LEVELS,
    GroupTable,
    LevelTable,
    column_of,
    groups_of,
    levels_of,
    measure_row,
)
from vfseg.report.texts import counted, in_every_language, said, text
from vfseg.report.wording import NOT_KNOWN, lift_of, shown, shown_cell
from vfseg.schemas import read_checked

_HEADLINE = (
    ("voxel", "dice"),
    ("voxel", "pr_auc"),
    ("slice", "pr_auc"),
    ("lesion", "average_precision"),
    ("vertebra", "roc_auc"),
)
_DOWNLOADS = {
    PAGE: "file_page",
    "probability.nii.gz": "file_map",
    "mask.nii.gz": "file_mask",
    "spine.glb": "file_meshes",
    "spine-bone.stl": "file_bone",
    "spine-fracture.stl": "file_fracture",
    "spine-truth.stl": "file_truth",
}
_LISTS = {
    "vertebrae.csv": "list_vertebrae",
    "lesions.csv": "list_lesions",
    "truth_lesions.csv": "list_truth",
    "cases.csv": "list_cases",
    "tables.csv": "list_tables",
}

Links = tuple[tuple[Path, str], ...]
"""Files that stand, each with the words that link it."""


class Card(NamedTuple):
    """A figure of the headline, and the lines below it."""

    value: str
    lines: tuple[str, ...]


class Results(NamedTuple):
    """What the page says of an evaluation.

    Attributes:
        cards: the figures that come first.
        words: what was evaluated, and how.
        levels: every measure.
        groups: tables by level, size, grade and pattern.
        meanings: name of each measure and column that the page shows, and what it says.
        lists: the CSV files.
    """

    cards: tuple[Card, ...]
    words: str
    levels: tuple[LevelTable, ...]
    groups: tuple[GroupTable, ...]
    meanings: tuple[tuple[str, str], ...]
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
    facts: tuple[tuple[str, str], ...]
    warning: str
    files: Links
    pictures: tuple[Picture, ...]


def write_page(workdir: Path, pictures: Mapping[str, Sequence[Picture]]) -> Path:
    """Writes `report/index.html` from what stands in the workdir.

    Reads `evaluation/summary.json`, `evaluation/cases.csv` and `metrics.jsonl`, and links the
    files in `predictions/CASE/` and `report/CASE/`; the page says what is missing. It refers to
    nothing outside the workdir; its script switches its language, and no more.

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
    curves = workdir / "report" / "curves"
    write_html(
        page,
        "vfseg.report",
        "report.html.j2",
        kind="report",
        title=workdir.resolve().name,
        said=said,
        notice=said(_notice(summary)),
        results=summary
        and in_every_language(lambda language: _results(summary, rows, workdir, language)),
        curves=result_curves(summary, curves) if summary else [],
        training=training_curves(workdir / "metrics.jsonl", curves),
        cases=in_every_language(
            lambda language: tuple(
                _case(name, rows.get(name, {}), pictures.get(name, ()), workdir, language)
                for name in names
            )
        ),
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
    """The text that says what the truth is."""
    if not summary:
        return "no_reference"
    return "synthetic_reference" if summary.get("synthetic") else "given_reference"


def _outside(rows: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Cases outside the range of training, and what of each of them is."""
    found = {name: row.get(OUTSIDE_TRAINING, "") for name, row in rows.items()}
    return {name: what for name, what in found.items() if what}


def _results(
    summary: Mapping[str, Any], rows: Mapping[str, Mapping[str, str]], workdir: Path, language: str
) -> Results:
    names = [key for level in LEVELS for key in summary.get(level) or {}]
    groups = [row for group in GROUPS for row in (summary.get(group) or {}).values()]
    cells = [column_of(key) for row in groups for key in row]
    facts = [key for row in rows.values() for key in row]
    return Results(
        tuple(
            _card(level, summary[level], key, language)
            for level, key in _HEADLINE
            if (summary.get(level) or {}).get(key)
        ),
        "".join(_evaluated(summary, _outside(rows), language)),
        levels_of(summary, language),
        groups_of(summary, language),
        meanings_of([*names, *cells, *facts], language),
        _standing(workdir / "evaluation", _LISTS, language),
    )


def _card(level: str, measures: Mapping[str, Any], key: str, language: str) -> Card:
    row = measure_row(level, measures, key, language)
    interval = text(language, "interval_words", interval=row.interval)
    lift = lift_of(measures, language) if key == "pr_auc" else ""
    name = text(language, f"card_{level}_{key}")
    return Card(row.value, tuple(filter(None, (name, interval, lift))))


def _evaluated(
    summary: Mapping[str, Any], outside: Mapping[str, str], language: str
) -> Iterable[str]:
    """What was evaluated, and how, in sentences."""
    number, threshold = summary.get("cases"), summary.get("threshold")
    cases = text(language, "not_known_cases") if number is None else _cases(number, language)
    split = listed_words(language, summary.get("split") or NOT_KNOWN)
    yield text(language, "of_split", cases=cases, split=split)
    if threshold:
        chosen_on = listed_words(language, threshold["chosen_on"])
        value = shown(threshold["value"])
        yield text(language, "threshold_words", value=value, chosen_on=chosen_on)
    if outside:
        named = text(language, "between").join(
            text(language, "outside_named", case=name, what=listed_words(language, what))
            for name, what in outside.items()
        )
        cases = _cases(len(outside), language)
        yield text(language, "outside_cases", cases=cases, named=named)
    yield text(language, "intervals_words")


def _cases(number: int, language: str) -> str:
    return counted(language, number, "case")


def _case(
    name: str,
    row: Mapping[str, str],
    pictures: Sequence[Picture],
    workdir: Path,
    language: str,
) -> CaseEntry:
    facts = tuple(
        (name_of(key, language), _fact(key, cell, language))
        for key, cell in row.items()
        if key != "case_id"
    )
    folders = workdir / "report" / name, workdir / "predictions" / name
    files = [file for folder in folders for file in _standing(folder, _DOWNLOADS, language)]
    outside = listed_words(language, row.get(OUTSIDE_TRAINING, ""))
    warning = outside and text(language, "outside_case", what=outside)
    return CaseEntry(name, facts, warning, tuple(files), tuple(pictures))


def _fact(key: str, cell: str, language: str) -> str:
    """A cell of `cases.csv`; ids are as they are, also where they look like a figure."""
    if key == "patient_id":
        return cell or NOT_KNOWN
    return shown_cell(listed_words(language, cell), language)


def _standing(folder: Path, names: Mapping[str, str], language: str) -> Links:
    """Those files of a folder that stand, each with its words."""
    return tuple(
        (folder / name, text(language, key, least=LESION_MM3))
        for name, key in names.items()
        if (folder / name).exists()
    )
