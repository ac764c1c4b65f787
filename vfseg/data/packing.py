"""Files that may be compressed: what they are is told by their first bytes, never by their name."""

import bz2
import gzip
import zlib
from pathlib import Path
from typing import IO, cast

from vfseg.errors import UserError
from vfseg.files import open_input

DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What a compressed file raises where it is cut short or its sum is wrong; else `OSError`."""

_MARKS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz"}
_MOST_RATIO = 1032  # what deflate makes of zeros; no file in gzip holds more
_ANY_RATIO_BYTES = 2**30  # bzip2 makes an empty mask a million times smaller: up to here that is so
_MOST_BEHIND = 2**20  # bytes that may follow the last voxel


def packing(path: Path) -> str:
    """How a file is compressed: "gzip", "bzip2", or "" where it is not.

    Raises:
        UserError: compressed in another way; no file but a pipe or a device.
        OSError: it cannot be opened.
    """
    with open_input(path) as file:
        start = file.read(6)
    kind = next((kind for mark, kind in _MARKS.items() if start.startswith(mark)), "")
    if kind in ("zstd", "xz"):
        raise UserError(f"{path}: compressed with {kind}. Unpack it, or compress it with gzip.")
    return kind


def open_unpacked(path: Path, kind: str) -> IO[bytes]:
    """Opens a file to read what is in it. Raises OSError.

    Args:
        path: of the file.
        kind: from `packing`.
    """
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(path))
    return bz2.open(path) if kind == "bzip2" else open(path, "rb")


def is_named_as_packed(path: Path) -> bool:
    """Whether a file's name says how it is compressed: other programs go by that."""
    kind = packing(path)
    return path.name.lower().endswith({"": ".nii", "gzip": ".nii.gz", "bzip2": ".nii.bz2"}[kind])


def can_hold(path: Path, kind: str, wanted: int) -> bool:
    """Whether a file of its size can hold so many bytes, unpacked.

    Args:
        path: of the file.
        kind: from `packing`.
        wanted: bytes.
    """
    size = path.stat().st_size
    if kind == "bzip2" and wanted <= _ANY_RATIO_BYTES:
        return True
    return wanted <= size * (_MOST_RATIO if kind else 1)


def read_to_end(path: Path, file: IO[bytes]) -> None:
    """Reads what follows the last voxel, so that the sums at the end of the file are checked.

    A flipped bit often makes a stream longer: it has to be followed to where its sum stands.

    Raises:
        UserError: more follows than any program writes there: nothing more is unpacked.
        OSError, EOFError, zlib.error: damaged.
    """
    left = _MOST_BEHIND
    while more := file.read(2**16):
        left -= len(more)
        if left < 0:
            raise UserError(
                f"{path}: holds more than its header says, so one of them is damaged. Copy, "
                "download or export the file again."
            )
