"""Cases of a data set: the manifest, a CSV file with one case a line and paths relative to it."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from vfseg.data.dicom import is_series_path
from vfseg.data.patients import spelled_twice
from vfseg.data.settings import SPLITS
from vfseg.errors import UserError
from vfseg.files import is_special_file, read_table, write_table

COLUMNS = ("case_id", "patient_id", "ct", "vertebrae", "boxes", "fractures", "grades", "split")
_FILES = ("ct", "vertebrae", "boxes", "fractures", "grades")
_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class Case:
    """One CT and what is known about it.

    Attributes:
        case_id: unique name, also of the case's folder in the output.
        patient_id: cases of one patient share it, and stay in one split.
        ct: file (or DICOM folder) of the CT, see `vfseg.data.volume.read_ct`.
        vertebrae: label map of the vertebrae, or folder with a mask for each.
        boxes: box file, an alternative to `vertebrae`.
        fractures: mask of fracture instances.
        grades: table of grades by vertebra.
        split: "train", "validation", "test", or "" where not decided.
        points: middles of the vertebral bodies, an alternative to `boxes`; of a CT that is named
            itself, no manifest names them. Beside `vertebrae`: those that it was made from.
    """

    case_id: str
    patient_id: str
    ct: Path
    vertebrae: Path | None = None
    boxes: Path | None = None
    fractures: Path | None = None
    grades: Path | None = None
    split: str = ""
    points: Path | None = None


def check_manifest(
    path: str | os.PathLike, *, follow_links: bool = False
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Reads the sound lines of a manifest, and says what is wrong with the others.

    A manifest has all of `COLUMNS`; further columns are ignored, cells may be empty. A line is
    wrong that has more cells than the first one; whose id is empty, unfit as a folder name or
    taken by an earlier line; with an unknown split, or a patient of another split; with a path that
    is absolute, leaves the manifest's folder, does not exist, or is neither a file nor a folder.

    Patients that may be one, in several spellings, are remarked on (see `spelled_twice`).

    Args:
        path: of the manifest.
        follow_links: whether symbolic links may lead out of the manifest's folder, too.

    Raises:
        UserError: as in `read_table`; a missing column, or no line.
    """
    path = Path(path)
    problems: list[str] = []
    cases: list[Case] = []
    seen: dict[str, int] = {}
    split_of: dict[str, tuple[str, int]] = {}
    columns, rows = read_table(path, "manifest")
    _check_columns(path, columns)
    if not rows:
        raise UserError(f"{path}: no case in the manifest. Add one line for each CT.")
    for line, row, width in rows:
        if width > len(columns):
            problems.append(
                f"line {line}: more cells than the first line. Put quotes around a cell that holds "
                "a comma"
            )
            continue
        found: list[str] = []
        case_id, patient_id, split = row["case_id"], row["patient_id"], row["split"]
        if not re.fullmatch(r"\w[\w.-]*", case_id):
            found.append(f"case_id {case_id!r}: use letters, digits, '_', '-' and '.'")
        elif case_id.casefold() in seen:
            found.append(
                f"case_id {case_id!r} is taken by line {seen[case_id.casefold()]}: give each case "
                "an id of its own"
            )
        seen.setdefault(case_id.casefold(), line)
        if not patient_id:
            found.append("patient_id is empty: repeat the case_id where each case is a patient")
        if split not in (*SPLITS, ""):
            found.append(f"split {split!r}: use train, validation, test or leave it empty")
        elif split and patient_id:
            other, where = split_of.setdefault(patient_id, (split, line))
            if other != split:
                found.append(
                    f"patient {patient_id!r} is in {split!r} and, line {where}, in {other!r}: "
                    "keep a patient in one split"
                )
        files = {column: _file(path.parent, column, row[column], found) for column in _FILES}
        if not follow_links and not found:
            found += _links_out(path.parent, files.values())
        problems += [f"line {line}: {problem}" for problem in found]
        if not found and files["ct"]:
            cases.append(Case(case_id, patient_id, split=split, **files))  # type: ignore[arg-type]
    remarks = spelled_twice((row["patient_id"], row["split"]) for _, row, _ in rows)
    return tuple(cases), (*remarks, *problems)


def write_manifest(path: str | os.PathLike, cases: Iterable[Case]) -> None:
    """Writes a manifest, atomically.

    Raises:
        UserError: a file lies outside the manifest's folder, or the manifest cannot be written.
    """
    path = Path(path)
    rows = []
    for case in cases:
        row = {"case_id": case.case_id, "patient_id": case.patient_id, "split": case.split}
        for column in _FILES:
            file = getattr(case, column)
            relative = os.path.relpath(file, path.parent) if file else ""
            if relative.startswith(".."):
                raise UserError(
                    f"{path}: {file} lies outside the manifest's folder, to which paths are "
                    "relative. Put the manifest above its files."
                )
            row[column] = relative.replace(os.sep, "/")
        rows.append({column: row[column] for column in COLUMNS})
    write_table(path, rows, COLUMNS)


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise UserError(
            f"{path}: the first line lacks {', '.join(missing)}. Name all columns there: "
            f"{','.join(COLUMNS)}; below, leave the cells empty of files that you do not have."
        )


def _file(folder: Path, column: str, cell: str, problems: list[str]) -> Path | None:
    """Path of a cell; says in `problems` what is wrong with it."""
    if not cell:
        if column == "ct":
            problems.append("ct is empty: name the CT of this case")
        return None
    if PurePosixPath(cell).is_absolute() or PureWindowsPath(cell).drive:
        problems.append(f"{column} {cell!r} is absolute: give it relative to the manifest")
    elif os.path.normpath(cell).split(os.sep)[0] == "..":
        problems.append(f"{column} {cell!r} climbs out of the manifest's folder: move the files")
    else:
        try:
            file = folder / cell
            if not (file.exists() or (column == "ct" and is_series_path(file))):
                problems.append(f"{column} {cell!r} does not exist in {folder}: check the path")
            elif is_special_file(file):
                problems.append(f"{column} {cell!r} is a pipe or a device: name a file")
        except OSError as error:  # a name that is too long, a folder that may not be entered
            shown = cell if len(cell) <= _LONGEST_SHOWN else f"{cell[:_LONGEST_SHOWN]}..."
            problems.append(
                f"{column} {shown!r} cannot be looked up ({error.strerror}): check the path"
            )
    return folder / os.path.normpath(cell)


def _links_out(folder: Path, files: Iterable[Path | None]) -> Iterator[str]:
    """Files, or files in folders of files, that lie outside the manifest's folder by a link.

    A manifest may come with its files from elsewhere: its links are not to open other ones.
    """
    root = folder.resolve()
    for path in filter(None, files):
        series = Path(str(path).rpartition("#")[0]) if not path.exists() else path
        for file in (series, *(series.rglob("*") if series.is_dir() else ())):
            if not file.resolve().is_relative_to(root):
                yield (
                    f"{file.relative_to(folder)} leads out of the manifest's folder by a link, to "
                    f"{file.resolve()}: move the files there, or allow it with --follow_links"
                )
                break
