"""Fracture grades of vertebrae (Genant, 0 to 3) from a table."""

import os
from pathlib import Path

import numpy as np

from vfseg.data.cases import Case
from vfseg.data.patients import spellings
from vfseg.data.schemes import LEVELS, SPINE_IDS
from vfseg.errors import UserError, quantity
from vfseg.files import Row, read_table

GENANT = {0: "none", 1: "mild", 2: "moderate", 3: "severe"}
"""Genant's semiquantitative grades (Genant et al., 1993, J Bone Miner Res 8:1137)."""

GENANT_LOSSES = (0.20, 0.25, 0.40)
"""Loss of height, as a fraction, from which grades 1, 2 and 3 begin."""

_SUBJECT = ("subject", "case_id", "case")
_LEVEL = ("vertebra", "level")
_GRADE = ("genant_grade", "genant", "grade")
_NUMBER = {f"{scheme}_label": scheme for scheme in SPINE_IDS}
_KNOWN = {name for names in SPINE_IDS.values() for name in names.values()}


def genant_grade(loss: float) -> int:
    """Genant grade, 0 to 3, of a loss of height (a fraction of the expected height).

    >>> [genant_grade(loss) for loss in (0.19, 0.2, 0.25, 0.39, 0.4)]
    [0, 1, 2, 2, 3]
    """
    return int(np.searchsorted(GENANT_LOSSES, loss, side="right"))


def graded_subjects(path: str | os.PathLike) -> tuple[str, ...] | None:
    """Subjects of a table of grades; () where it names none, None where the file is none."""
    try:
        columns, rows = _table(Path(path))
        _column(columns, _GRADE)
    except (UserError, KeyError):
        return None
    subject = next((name for name in _SUBJECT if name in columns), None)
    return tuple(dict.fromkeys(row.cells[subject] for row in rows)) if subject else ()


def read_grades(path: str | os.PathLike, subject: str | None = None) -> dict[str, int]:
    """Grade of each vertebra of T4 to L5 that has one: level -> 0 (none) to 3 (severe).

    The first line names the columns: `genant_grade` (or `genant`, `grade`); the vertebra by name in
    `vertebra` (or `level`: T4, L1) or by number in `verse_label`, `totalsegmentator_label` or the
    like, after a label scheme; where there are both they must agree. A table of several cases names
    them in `subject` (or `case_id`, `case`). An empty grade is unknown.

    Args:
        path: the CSV file.
        subject: whose lines to take, in any spelling; None where the table is of one subject.

    Raises:
        UserError: no such file or columns; a vertebra that is unknown or doubled; a grade other
            than 0 to 3; several subjects and none named, or no line of the named one.
    """
    path = Path(path)
    columns, rows = _table(path)
    try:
        grade_column = _column(columns, _GRADE)
        level_column = _column(columns, (*_LEVEL, *_NUMBER))
    except KeyError:
        raise UserError(
            f"{path}: columns {', '.join(columns) or '(none)'}; expected genant_grade, and "
            "vertebra (such as L1) or verse_label (its number). Name them in the first line."
        ) from None
    subject_column = next((name for name in _SUBJECT if name in columns), None)
    if subject_column:
        rows = _of_subject(path, rows, subject_column, subject)
    grades: dict[str, int] = {}
    seen: dict[str, int] = {}
    for line, row, _ in rows:
        level = _level(path, line, row, level_column)
        if level in seen:
            raise UserError(f"{path}: line {line}: a second grade of {level}. Keep one.")
        seen[level] = line
        grade = row[grade_column]
        if not grade:
            continue
        if grade not in {str(known) for known in GENANT}:
            raise UserError(
                f"{path}: line {line}: grade {grade!r} of {level}, expected 0, 1, 2 or 3 (Genant). "
                "Leave it empty where it is not known."
            )
        if level in LEVELS:
            grades[level] = int(grade)
    return grades


def _of_subject(path: Path, rows: list[Row], column: str, subject: str | None) -> list[Row]:
    present = list(dict.fromkeys(row.cells[column] for row in rows))
    if subject is None and len(present) > 1:
        raise UserError(
            f"{path}: grades of {len(present)} subjects ({', '.join(present[:5])}, ...). Give a "
            "table for each case, or name the cases as the table does."
        )
    wanted = present if subject is None else spellings(subject, present)
    if not wanted:
        raise UserError(
            f"{path}: no grade of {subject}, only of {', '.join(present[:5]) or '(none)'}. Name "
            "the case as the table does."
        )
    return [row for row in rows if row.cells[column] in wanted]


def _level(path: Path, line: int, row: dict[str, str], column: str) -> str:
    """Name of the vertebra of a line; every column that names it must agree."""
    found = {}
    for other in (column, *(name for name in (*_LEVEL, *_NUMBER) if row.get(name))):
        cell = row[other]
        if other in _NUMBER:
            names = SPINE_IDS[_NUMBER[other]]
            found[other] = names.get(int(cell), "") if cell.isdecimal() else ""
        else:
            found[other] = cell.upper() if cell.upper() in _KNOWN else ""
        if not found[other]:
            raise UserError(
                f"{path}: line {line}: {other} {cell!r} is no vertebra. Write it as T12 or L1, or "
                "as the number that the column's label scheme gives it."
            )
    if len(set(found.values())) > 1:
        named = ", ".join(f"{name} {row[name]} ({level})" for name, level in found.items())
        raise UserError(f"{path}: line {line}: {named} are different vertebrae. Mend the line.")
    return found[column]


def _column(columns: list[str], names: tuple[str, ...]) -> str:
    for name in names:
        if name in columns:
            return name
    raise KeyError(names)


def _table(path: Path) -> tuple[list[str], list[Row]]:
    """Columns in small letters, and rows that have them all."""
    columns, rows = read_table(path, "table of grades")
    for row in rows:
        if row.width < len(columns):
            raise UserError(
                f"{path}: line {row.line} has {quantity(row.width, 'cell')}, the first line "
                f"{len(columns)}. Mend the line."
            )
    lower = [
        row._replace(cells={column.lower(): cell for column, cell in row.cells.items()})
        for row in rows
    ]
    return [column.lower() for column in columns], lower


def grades_of(case: Case, path: Path) -> dict[str, int]:
    """Grades of a case, level -> 0 to 3, from a table that may name it by case or by patient.

    Raises:
        UserError: as in `read_grades`.
    """
    known = graded_subjects(path) or ()
    names = (case.case_id, case.patient_id)
    return read_grades(path, next((name for name in names if spellings(name, known)), None))
