"""Files that appear complete or not at all, tables and JSON, folders worked in alone."""

import contextlib
import csv
import fcntl
import io
import json
import os
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


def open_input(path: Path) -> io.BufferedReader:
    """Opens a file of a user for reading.

    A pipe may never end, and a device has no end: only what lies on a disk is opened.

    Raises:
        UserError: it is neither a file nor a folder.
        OSError: as `open`.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(
            f"{path}: a pipe, a socket or a device, not a file. Save what it gives as a file, and "
            "name that."
        )
    return open(path, "rb")


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

    Args:
        path: of the file.
        what: it is, for messages.

    Raises:
        UserError: no such file, no file but a pipe or a device, not UTF-8, unbalanced quotes;
            named with the line.
    """
    number = 1
    try:
        with io.TextIOWrapper(open_input(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for line in reader:
                cells = [cell.strip() for cell in line]
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

    Args:
        path: of the file.
        rows: with equal keys, which name the columns.
        columns: where there may be no row: the first line must say what there is none of.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


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
