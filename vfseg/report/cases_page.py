"""The page of a folder of predicted CTs: what was found in each, and links to their pages."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vfseg.data.outputs import OUTSIDE_TRAINING
from vfseg.drawing.page import write_html
from vfseg.evaluation.sentences import asks
from vfseg.report.case_lists import CaseLists, read_lists
from vfseg.report.case_page import PAGE
from vfseg.report.said_findings import SaidFinding, mark_of, said_findings
from vfseg.report.texts import said, said_listed

INDEX = "index.html"


class _Row(NamedTuple):
    """What the page shows of a case.

    Attributes:
        name: of its folder.
        page: its own page, or its folder where there is none.
        mark: how it is marked: as the surest of its vertebrae, see `mark_of`.
        findings: what is said of its vertebrae.
        found: whether the program found vertebrae at which nobody looked.
        outside: what of the CT lies outside the range of training; "" where nothing does.
        vertebrae: how many there are.
        surest: highest probability of a fracture among those to be looked at.
    """

    name: str
    page: Path
    mark: str
    findings: list[SaidFinding]
    found: bool
    outside: str
    vertebrae: int
    surest: float


def write_cases_page(folder: Path, names: Sequence[str]) -> Path:
    """Writes `index.html` beside the folders of predicted CTs: those to be looked at come first.

    Args:
        folder: that holds them.
        names: of the folders, whose results stand.

    Returns:
        The page.

    Raises:
        UserError: a list of a case is damaged, or the page cannot be written.
    """
    found = [(name, _lists_in(folder / name)) for name in names]
    rows = [_row(folder, name, lists) for name, lists in found]
    rows.sort(key=lambda row: (not row.mark, -row.surest, row.name))
    trained_on = {row.get("trained_on") or "" for _, lists in found for row in lists.vertebrae}
    write_html(
        folder / INDEX,
        "vfseg.report",
        "cases.html.j2",
        kind="case",
        title=folder.resolve().name,
        name=folder.resolve().name,
        said=said,
        said_listed=said_listed,
        synthetic=any("synthetic" in fractures for fractures in trained_on),
        asked=sum(bool(row.mark) for row in rows),
        cases=rows,
    )
    return folder / INDEX


def _lists_in(folder: Path) -> CaseLists:
    """The lists of one CT; its table names one case, if any."""
    return next(iter(read_lists(folder).values()), CaseLists())


def _row(folder: Path, name: str, lists: CaseLists) -> _Row:
    asked, page = [row for row in lists.vertebrae if asks(row)], folder / name / PAGE
    marks = {mark_of(row) for row in asked}
    return _Row(
        name,
        page if page.exists() else page.parent,  # results of a version without it
        next((mark for mark in ("likely", "review") if mark in marks), ""),
        said_findings(lists),
        lists.found,
        next((row[OUTSIDE_TRAINING] for row in lists.vertebrae if row[OUTSIDE_TRAINING]), ""),
        len(lists.vertebrae),
        max((row["probability"] or 0.0 for row in asked), default=0.0),
    )
