"""One DICOM file: its marks, its tags up to the pixels, and the pixels, in bounded memory.

pydicom does the parsing. It is not asked for what it would take any amount of memory for: to
inflate a deflated file, and to read pixels of whatever length. What decodes compressed pixels may
end its process, and has one of its own.
"""

import dataclasses
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vfseg.data.decoding import NoDecoder, decode
from vfseg.errors import UserError

PIXEL_BYTES = 2
_ROOT = b"1.2.840.10008."  # every identifier of the standard begins so
_FIRST_GROUPS = (b"\2\0", b"\x08\0", b"\0\x08")  # of a file without preamble, in both byte orders
_HEAD = 4096
_MOST_TAGS = 4 * 2**20  # bytes before the pixels of a deflated file, small slices included
_CHUNK = 2**18
_PIXEL_DATA = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PLAIN = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", _DEFLATED)


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Where the pixels of a file lie, and how.

    Attributes:
        start: first byte, in the file or in what its deflated part inflates to.
        size: bytes that are there; where the pixels are compressed, those of the codes.
        complete: whether the file ends after them, and not within.
        compressed: as JPEG or run lengths, say; not so in a file that is deflated as a whole.
        byteorder: "<" or ">".
    """

    start: int
    size: int
    complete: bool
    compressed: bool
    byteorder: str


def is_dicom_file(path: Path) -> bool:
    """Whether a file is DICOM: by "DICM" after 128 bytes of preamble, or without either.

    A file without preamble begins with a tag of the first groups, and names its kind by an
    identifier of the standard in its first bytes. What is no regular file, such as a pipe, which
    would be waited for, is not looked into.
    """
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head[128:132] == b"DICM" or (head[:2] in _FIRST_GROUPS and _ROOT in head)


def read_tags(path: Path, tags: Sequence[str]) -> tuple[Any, Pixels | None]:
    """Some tags of a file (a pydicom data set, not yet converted), and where its pixels lie.

    Args:
        path: of a file of which `is_dicom_file` holds.
        tags: by keyword; others are skipped. The file meta information is read in any case.

    Returns:
        The tags, and the pixels; None where the file ends before them, or has none.

    Raises:
        UserError: the file cannot be parsed.
    """
    from pydicom import filereader
    from pydicom.tag import Tag

    found: list[tuple[int, int]] = []

    def at_pixels(tag: int, representation: str | None, length: int) -> bool:
        if tag == _PIXEL_DATA:
            found.append((body.tell(), length))
        return tag == _PIXEL_DATA

    options: Any = {"stop_when": at_pixels, "specific_tags": [Tag(name) for name in tags]}
    try:
        with open(path, "rb") as file:
            body, deflated = _unpacked(file, _MOST_TAGS)
            if deflated:
                little = True
                data = filereader.read_dataset(body, False, True, **options)
            else:
                data = filereader.read_partial(body, force=True, **options)
                little = data.original_encoding[1] is not False
            if not found:
                return data, None
            start, length = found[-1]
            if deflated and body.seek(0, io.SEEK_END) == _MOST_TAGS:  # the rest shows on reading
                size, complete = length, True
            else:
                size, complete = _extent(body, start, length)
            syntax = "" if deflated else str(data.file_meta.get("TransferSyntaxUID", ""))
            if (length == _UNDEFINED) == (syntax in _PLAIN):
                raise ValueError(f"pixels are not stored as the transfer syntax {syntax} says")
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(
            f"{path.name}: damaged DICOM ({first_line(error)}). Copy or export the file again."
        ) from error
    order = "<" if little else ">"
    return data, Pixels(start, size, complete, length == _UNDEFINED, order)


def read_pixels(path: Path, pixels: Pixels, shape: tuple[int, int], signed: bool) -> np.ndarray:
    """Pixels of a slice as they are stored, [row, column], 16-bit integers.

    No more is read than `shape` needs.

    Raises:
        UserError: they are missing, damaged, or compressed in a way that cannot be read here.
    """
    needed = shape[0] * shape[1] * PIXEL_BYTES
    try:
        if pixels.compressed:
            raw = decode(path)
        else:
            with open(path, "rb") as file:
                body, _ = _unpacked(file, pixels.start + needed)
                body.seek(pixels.start)
                raw = np.frombuffer(
                    body.read(needed), f"{pixels.byteorder}{'i' if signed else 'u'}{PIXEL_BYTES}"
                ).reshape(shape)
        if raw.shape != shape or raw.dtype.kind not in "iu" or raw.itemsize != PIXEL_BYTES:
            raise ValueError(f"{raw.shape} of {raw.dtype}, expected {shape} of 16 bits")
    except NoDecoder as error:
        raise UserError(
            f"{path}: compressed in a way that cannot be read here ({error}). Install the "
            "decoders: pip install 'vfseg[dicom]'; or convert the series to NIfTI, for instance "
            "with dcm2niix."
        ) from error
    except Exception as error:  # damaged pixel data fails in many ways
        raise UserError(
            f"{path}: the pixels cannot be read ({first_line(error)}). Copy or export the file "
            "again."
        ) from error
    return raw


def first_line(error: Exception) -> str:
    """First line of what an exception says, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _unpacked(file: BinaryIO, most: int) -> tuple[BinaryIO, bool]:
    """The file from its beginning; of a deflated one the first `most` bytes of its data set.

    The second value says whether it is deflated.
    """
    from pydicom import filereader

    filereader.read_preamble(file, force=True)
    meta = filereader.read_dataset(
        file, False, True, stop_when=lambda tag, representation, length: tag >> 16 != 2
    )
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        file.seek(0)
        return file, False
    inflater, body = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()
    while (room := most - body.tell()) > 0 and not inflater.eof:
        packed = inflater.unconsumed_tail or file.read(_CHUNK)
        if not packed:
            break
        body.write(inflater.decompress(packed, min(room, _CHUNK)))
    body.seek(0)
    return body, True


def _extent(body: BinaryIO, start: int, length: int) -> tuple[int, bool]:
    """Bytes of pixels that are there, and whether they are all that were announced."""
    end = body.seek(0, io.SEEK_END)
    if length != _UNDEFINED:
        return min(length, end - start), start + length <= end
    position = start
    while position + 8 <= end:
        body.seek(position)
        head = body.read(8)
        if head[:4] == _END:
            return position - start, True
        if head[:4] != _ITEM:
            break
        position += 8 + int.from_bytes(head[4:], "little")
    return min(position, end) - start, False
