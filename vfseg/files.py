"""Files that appear complete or not at all, tables and JSON written so, folders worked in alone."""

import contextlib
import csv
import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

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
