"""Files that appear complete or not at all, tables and JSON, folders worked in alone."""

import contextlib
import csv
import fcntl
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from absl import logging

from vfseg.errors import UserError


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing so that it appears complete or not at all.

    Makes the folder where it is missing. Raises `UserError` where the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}). Choose a folder that can be "
            "written to and has space left."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_sure_of(folder: Path) -> None:
    """Makes sure that files can be written in a folder, before hours are spent on what they hold.

    Writes and deletes one there; a folder that is missing is made, and goes again.

    Raises:
        UserError: they cannot be.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}). Choose a folder that can be "
            "written to and has space left."
        ) from error
    finally:
        for path in missing:
            with contextlib.suppress(OSError):  # not made, or in use by now
                path.rmdir()


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        line: number in the file at which it begins, from 1.
        cells: column -> cell, "" where the row is too short for it.
        width: cells that the row holds.
    """

    line: int
    cells: dict[str, str]
    width: int


def read_table(path: Path, what: str = "table") -> tuple[list[str], list[Row]]:
    """Columns of a CSV file, as its first line names them, and its rows.

    Args:
        path: of the file.
        what: it is, for messages.

    Raises:
        UserError: as in `read_lines`.
    """
    lines = read_lines(path, what)
    columns = next(lines, (1, []))[1]
    rows = []
    for line, cells in lines:
        padded = cells + [""] * (len(columns) - len(cells))
        rows.append(Row(line, dict(zip(columns, padded)), len(cells)))
    return columns, rows


def read_lines(path: Path, what: str = "file") -> Iterator[tuple[int, list[str]]]:
    """Lines of a CSV file that hold anything: the number in the file, and the cells, stripped.

    The text is UTF-8, with a byte order mark or without; a cell in quotes may hold several lines.
    What `write_table` put before a formula is taken away again.

    Args:
        path: of the file.
        what: it is, for messages.

    Raises:
        UserError: no such file, not UTF-8, unbalanced quotes; named with the line.
    """
    number = 1
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for line in reader:
                cells = [_as_it_was(cell.strip()) for cell in line]
                if any(cells):
                    yield number, cells
                number = reader.line_num + 1
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such {what}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text. Save the {what} as CSV in UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    except csv.Error as error:
        raise UserError(
            f"{path}: line {number} is not CSV ({error}; a quotation mark without its second one?)."
            f" Mend the line, and save the {what} again."
        ) from error


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Writes rows as CSV, floats with six significant places.

    A text that a spreadsheet would compute (it begins with = + - @ and is no number) gets an
    apostrophe before it, which makes it text there; `read_lines` takes it away.

    Args:
        path: of the file.
        rows: with equal keys, which name the columns.
        columns: where there may be no row: the first line must say what there is none of.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _cell(value) for column, value in row.items()})
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


# Fullwidth forms too: spreadsheets of East Asia take them for the same. Apostrophes are doubled, so
# that no two texts are written alike.
_FORMULA = re.compile(r"[\s']*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | os.PathLike) and _FORMULA.match(text := str(value)):
        try:
            float(text)
        except ValueError:
            return f"'{text}"
    return value


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time inside, of all that work in a folder; the others wait.

    The lock goes with the process that holds it, however that ends.

    Args:
        folder: made if it is missing.

    Raises:
        UserError: it cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "wb")  # noqa: SIM115, closed below
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}). Choose a folder that can be."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("%s: waiting for another process that works here", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_json(path: Path) -> Any:
    """Content of a JSON file that this program wrote; None where there is none.

    Raises:
        UserError: it is damaged.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}). Delete it, and run again.") from error


def write_json(path: Path, content: Any) -> None:
    """Writes JSON. Raises `UserError` where it cannot be written."""
    with atomic_file(path) as file:
        file.write(json.dumps(content, indent=2).encode())
