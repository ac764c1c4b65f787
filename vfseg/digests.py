"""Digests of the files of a folder, by which damage to any of them is noticed before they are used.

`digests.json` in the folder names each file with its SHA-256, and has one of them all together. It
is written last, when the folder is whole; a file that joins it later is its concern from when
`add_digest` names it.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from vfseg.errors import UserError
from vfseg.files import sync_folder
from vfseg.json_files import write_json
from vfseg.schemas import TEXT, Table, read_checked

DIGESTS = "digests.json"
_SHAPE = {"files": Table(TEXT), "together": TEXT}

Marks = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of files, see `marks_of`."""


def marks_of(folder: Path) -> Marks:
    """By what a change of any file of a folder is told, without reading it.

    Raises:
        OSError: a file cannot be looked at.
    """
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")))
    return tuple((str(p), s.st_ino, s.st_size, s.st_mtime_ns) for p, s in found)


def write_digests(folder: Path, names: Iterable[str] = ()) -> None:
    """Notes the digests of a folder's files, and has all of them outlast a power cut.

    Args:
        folder: of the files.
        names: of those that count; all that it holds, at any depth, where none are given.

    Raises:
        OSError: a file cannot be read or synced.
        CannotWrite: the digests cannot be written.
    """
    own = folder / DIGESTS  # of what lay here before
    held = (path for path in folder.rglob("*") if path.is_file() and path != own)
    paths = [folder / name for name in names] or list(held)
    found = {}
    for path in sorted(paths):
        with open(path, "rb") as file:
            found[path.relative_to(folder).as_posix()] = _digest(file)
            os.fsync(file.fileno())
    for parent in {path.parent for path in paths}:
        sync_folder(parent)
    write_json(folder / DIGESTS, {"files": found, "together": _together(found)})


def add_digest(folder: Path, name: str) -> None:
    """Notes one more file of a folder, or another content of one; nothing without other digests.

    Raises:
        UserError: the digests are damaged, or cannot be written.
        OSError: the file cannot be read.
    """
    content = read_checked(folder / DIGESTS, _SHAPE, "")
    if content is not None:
        with open(folder / name, "rb") as file:
            found = content["files"] | {name: _digest(file)}
        write_json(folder / DIGESTS, {"files": found, "together": _together(found)})


def has_digests(folder: Path) -> bool:
    """Whether digests were written: folders of earlier versions have none."""
    return (folder / DIGESTS).exists()


def noticed(folder: Path, only: str = "") -> str:
    """As `damage`; a folder without digests, as earlier versions left it, is believed."""
    return damage(folder, only) if has_digests(folder) else ""


def damage(folder: Path, only: str = "") -> str:
    """What is wrong with the files of a folder that has digests, in words; "" where nothing is.

    Args:
        folder: of the files.
        only: the one file that counts, if it is named there at all; every one by default.
    """
    try:
        content = read_checked(folder / DIGESTS, _SHAPE, "")
    except UserError as error:
        return str(error).strip()
    if content is None:
        return f"{DIGESTS} is missing"
    if content["together"] != _together(content["files"]):
        return f"{DIGESTS} is not as it was written"
    for name, digest in content["files"].items():
        if only and name != only:
            continue
        try:
            with open(folder / name, "rb") as file:
                if _digest(file) != digest:
                    return f"{name} is not as it was written"
        except (OSError, ValueError) as error:
            return f"{name} cannot be read ({getattr(error, 'strerror', None) or error})"
    return ""


def _together(found: dict[str, str]) -> str:
    """One digest of all, so that none can be left out."""
    return hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
