"""One offline page of a run: results first, then training, then every case."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from vfseg import RESEARCH_USE
from vfseg.drawing.figures import Picture
from vfseg.drawing.page import document, figure_html, link
from vfseg.errors import UserError
from vfseg.files import atomic_file, read_table
from vfseg.report.curves import training_curves
from vfseg.report.result_curves import result_curves
from vfseg.report.results_table import (
    group_tables,
    interval_of,
    lift,
    name_of,
    results_table,
    shown,
)

_DOWNLOADS = {
    "probability.nii.gz": "probability map (NIfTI)",
    "mask.nii.gz": "mask at the threshold (NIfTI)",
    "spine.glb": "3D meshes (GLB)",
}
_LISTS = {
    "vertebrae.csv": "vertebrae",
    "lesions.csv": "predicted lesions",
    "truth_lesions.csv": "lesions of the truth",
    "cases.csv": "cases",
    "tables.csv": "tables",
}


def write_page(workdir: Path, pictures: Mapping[str, Sequence[Picture]]) -> Path:
    """Writes `report/index.html` from what stands in the workdir.

    Reads `evaluation/summary.json`, `evaluation/cases.csv` and `metrics.jsonl`, and links the
    files in `predictions/CASE/` and `report/CASE/`; whatever is missing is said to be. The page
    refers to nothing outside the workdir and holds no script.

    Args:
        workdir: of the run.
        pictures: of each case, by case id, in the order to show them.

    Returns:
        Path of the page.

    Raises:
        UserError: `summary.json` cannot be read as JSON, or the page cannot be written.
    """
    report = workdir / "report"
    summary = _summary(workdir / "evaluation" / "summary.json")
    rows = _rows(workdir / "evaluation" / "cases.csv")
    curves = training_curves(workdir / "metrics.jsonl", report / "curves")
    cases = [*rows, *(case for case in pictures if case not in rows)]
    parts = [
        f"<h1>Vertebral fracture map: {escape(workdir.resolve().name)}</h1>",
        _notice(summary),
        *_results(summary, workdir),
        *_training(curves, report),
        *_contents(cases),
        *(
            _case(number, case, rows.get(case, {}), pictures.get(case, ()), workdir)
            for number, case in enumerate(cases, start=1)
        ),
    ]
    page = report / "index.html"
    with atomic_file(page) as file:
        file.write(document(workdir.resolve().name, parts).encode())
    return page


def _summary(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: is not JSON ({error}). Run --mode evaluate again to write it anew."
        ) from error


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """Rows of `cases.csv` by case id; none where it is missing."""
    if not path.exists():
        return {}
    return {row.cells["case_id"]: row.cells for row in read_table(path)[1]}


def _notice(summary: Mapping[str, Any] | None) -> str:
    words = "There is no reference: nothing here has been measured against a truth."
    if summary:
        words = "The reference is what the data set gives as fractures."
        if summary.get("synthetic"):
            words = (
                "The truth is synthetic: spines and fractures were made by a program. "
                "These results say nothing about patients."
            )
    return f'<p class="note"><strong>{escape(RESEARCH_USE)}</strong>{escape(words)}</p>'


def _results(summary: Mapping[str, Any] | None, workdir: Path) -> list[str]:
    if summary is None:
        return ["<h2>Results</h2>", "<p>Not evaluated: evaluation/summary.json is missing.</p>"]
    cards = []
    for level, key, name in (
        ("voxel", "dice", "voxel Dice"),
        ("voxel", "pr_auc", "voxel PR-AUC"),
        ("slice", "pr_auc", "slice PR-AUC"),
        ("lesion", "average_precision", "lesion average precision"),
        ("vertebra", "roc_auc", "vertebra ROC-AUC"),
    ):
        measures = summary.get(level) or {}
        if key not in measures:
            continue
        lines = [name, f"95 % interval {interval_of(measures[key])}"]
        if key == "pr_auc" and lift(measures):
            lines.append(lift(measures))
        value = escape(shown(measures[key]["value"]))
        spans = "".join(f"<span>{escape(line)}</span>" for line in lines)
        cards.append(f"<div><b>{value}</b>{spans}</div>")
    threshold = summary.get("threshold") or {}
    words = f"{summary.get('cases', '–')} cases of the split “{summary.get('split', '–')}”."
    if threshold:
        words += f" Threshold {shown(threshold['value'])}, chosen on {threshold['chosen_on']}."
    words += " Intervals: bootstrap over patients."
    return [
        "<h2>Results</h2>",
        f'<div class="headline">{"".join(cards)}</div>',
        f'<p class="faint">{escape(words)}</p>',
        f'<div class="scroll">{results_table(summary)}</div>',
        _curves(result_curves(summary, workdir / "report" / "curves"), workdir / "report"),
        group_tables(summary),
        _lists(workdir),
    ]


def _lists(workdir: Path) -> str:
    links = " · ".join(
        f'<a href="{link(workdir / "evaluation" / name, workdir / "report")}">{words}</a>'
        for name, words in _LISTS.items()
        if (workdir / "evaluation" / name).exists()
    )
    return f'<p class="faint">Lists (CSV): {links}</p>' if links else ""


def _training(curves: Sequence[Picture], report: Path) -> list[str]:
    return ["<h2>Training</h2>", _curves(curves, report)] if curves else []


def _curves(curves: Sequence[Picture], report: Path) -> str:
    if not curves:
        return ""
    figures = "".join(
        f'<figure><img src="{link(curve.path, report)}" alt="{escape(curve.caption)}" '
        'loading="lazy"></figure>'
        for curve in curves
    )
    return f'<div class="curves">{figures}</div>'


def _contents(cases: Sequence[str]) -> list[str]:
    links = (f'<a href="#case-{i}">{escape(case)}</a>' for i, case in enumerate(cases, start=1))
    nav = f"<nav>{' · '.join(links)}</nav>"
    return ["<h2>Cases</h2>", nav if cases else "<p>No case yet.</p>"]


def _case(
    number: int, case: str, row: Mapping[str, str], pictures: Sequence[Picture], workdir: Path
) -> str:
    report = workdir / "report"
    facts = "".join(
        f"<div><dt>{escape(name_of(key))}</dt><dd>{escape(_short(value))}</dd></div>"
        for key, value in row.items()
        if key != "case_id"
    )
    files = [
        (folder / name, words)
        for folder in (workdir / "predictions" / case, report / case)
        for name, words in _DOWNLOADS.items()
        if (folder / name).exists()
    ]
    links = " · ".join(
        f'<a href="{link(path, report)}">{escape(words)}</a>' for path, words in files
    )
    figures = "".join(figure_html(picture, report) for picture in pictures)
    return (
        f'<section class="case" id="case-{number}"><h3>{escape(case)}</h3>'
        f'<dl>{facts}</dl><p class="faint">{links}</p>{figures}</section>'
    )


def _short(value: str | None) -> str:
    """A cell of the table: figures shortened, words as they are, nothing as a dash."""
    if not value:
        return "–"
    try:
        return shown(float(value))
    except ValueError:
        return value
