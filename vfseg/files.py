"""Files that appear complete or not at all, tables and JSON."""

import contextlib
import csv
import errno
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vfseg.errors import CannotWrite, UserError

_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))
_UNFINISHED = re.compile(r"\..+\.\d+\.part")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing so that it appears complete or not at all, even if the power goes.

    Makes the folder where it is missing. Raises `CannotWrite` where the file cannot be written.
    """
    temporary = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise CannotWrite(
            f"{path}: cannot be written ({error.strerror or error}). Choose a folder that can be "
            "written to and has space left."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def entries(folder: Path) -> list[Path]:
    """What a folder of a user holds, sorted.

    Raises:
        UserError: it may not be read, or cannot be.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be read ({error.strerror or error}). Change its permissions, or "
            "name another folder."
        ) from error


def is_special_file(path: Path) -> bool:
    """Whether a path is a pipe, a socket or a device, on which a reader could wait for ever."""
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False


def check_there(path: str) -> None:
    """Refuses a path at which there is nothing; of FOLDER#SERIES the folder counts.

    Raises:
        UserError: there is nothing.
    """
    for part in (path, path.rpartition("#")[0]):
        try:
            os.stat(part)
        except FileNotFoundError:
            continue
        except OSError:  # whoever reads it says why it cannot
            pass
        return
    raise UserError(f"{path}: no such file or folder. Check the path.")


def open_input(path: Path) -> io.BufferedReader:
    """Opens a file of a user for reading.

    A pipe may never end, and a device has no end: only what lies on a disk is opened.

    Raises:
        UserError: it is neither a file nor a folder.
        OSError: as `open`.
    """
    if is_special_file(path):
        raise UserError(
            f"{path}: a pipe, a socket or a device, not a file. Save what it gives as a file, and "
            "name that."
        )
    return open(path, "rb")


@contextlib.contextmanager
def full_disk_named() -> Iterator[None]:
    """Whatever finds the disk full inside, or the quota or a limit used up, is one message."""
    try:
        yield
    except OSError as error:
        if not full_disk_of(error):
            raise
        raise CannotWrite(
            f"{error.filename or 'a file'}: cannot be written ({error.strerror}). Make room, and "
            "give the same command again."
        ) from error


def full_disk_of(error: BaseException | None) -> str:
    """What the system says of a full disk, quota or limit; "" where an error is another one.

    Libraries that are not Python's make errors of their own of it, which quote the system's words.
    """
    return next((words for words in _FULL if words in str(error)), "")


def unfinished(path: Path) -> Path:
    """The name under which this process writes `path` before it is whole; see `sweep`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def sweep(folder: Path, *within: str) -> None:
    """Removes what killed processes left unfinished in a folder that this process works in alone.

    Args:
        folder: what lies directly in it is looked at.
        within: names of folders in it that are looked through at every depth.
    """
    found = list(folder.iterdir()) if folder.is_dir() else []
    for name in within:
        for place, folders, files in os.walk(folder / name):
            found += [Path(place, entry) for entry in (*folders, *files)]
            folders[:] = [entry for entry in folders if not _UNFINISHED.fullmatch(entry)]
    for path in found:
        if not _UNFINISHED.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Has the names in a folder outlast a power cut, where the file system can promise that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def gone_if_empty(folder: Path) -> Iterator[None]:
    """A folder, or one that it lies in, that is missing at first and empty at last goes again."""
    missing = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):  # not made, or in use by now
                path.rmdir()


def make_sure_of(folder: Path, *, stays: bool = False) -> None:
    """Makes sure that files can be written in a folder, before hours are spent on what they hold.

    Writes and deletes one there; a folder that is missing is made, and goes again.

    Args:
        folder: to be written to.
        stays: whether it is kept where it was missing.

    Raises:
        UserError: they cannot be.
    """
    try:
        with contextlib.nullcontext() if stays else gone_if_empty(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(2**16))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}). Choose a folder that can be "
            "written to and has space left."
        ) from error


def check_new_file(path: Path, suffix: str, kind: str, *, overwrite: bool) -> None:
    """Refuses an output that is to be one file, written anew.

    Args:
        path: as the user named it.
        suffix: in which its name has to end.
        kind: what it is, for messages.
        overwrite: whether one that stands is to be replaced.

    Raises:
        UserError: it is not named as one, or stands already and is not to be replaced.
    """
    if path.suffix.lower() != suffix:
        raise UserError(f"-o {path}: {kind} ends in {suffix}. Name one.")
    if path.exists() and not overwrite:
        raise UserError(f"{path}: stands already. Name another one, or give --overwrite.")


def make_sure_of_room(folder: Path, needed: int, what: str) -> None:
    """Makes sure that a folder's file system has room, before hours are spent on what fills it.

    Args:
        folder: to be written to; it may be missing still.
        needed: bytes.
        what: is to be written, for the message.

    Raises:
        CannotWrite: there is less.
    """
    standing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(standing).free
    if free < needed:
        raise CannotWrite(
            f"{folder}: {free / 1e9:.3g} GB are free there, and {what} take up to "
            f"{needed / 1e9:.3g} GB. Make room, or choose a folder on another disk."
        )


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
        UserError: no such file, no file but a pipe or a device, not UTF-8, unbalanced quotes;
            named with the line.
    """
    number = 1
    try:
        with io.TextIOWrapper(open_input(path), encoding="utf-8-sig", newline="") as file:
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


def first_cells(path: Path) -> list[str]:
    """Cells of the first line of a table that is not empty; none where it cannot be read."""
    try:
        return next(read_lines(path), (1, []))[1]
    except UserError:
        return []


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
