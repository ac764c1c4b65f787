"""Small DICOM series with damage drawn from a seed: in tags, in their encoding, in bytes."""

import zlib

import numpy as np
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from tests.data.dicom_series import make_slices, series_affine, volume

SHAPE = (6, 5, 5)  # columns, rows, slices
PIXELS = 0x7FE00010
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OF", b"OD", b"OL")
FORMS = ("plain", "plain", "bare", "implicit", "deflated", "run lengths")
TYPES = (
    *(b"DS", b"IS", b"US", b"SS", b"UL", b"OB", b"SQ", b"UN", b"LO", b"PN", b"UI", b"AT", b"FD"),
    *(b"TM", b"DA", b"CS", b"UT", b"\0\0", b"zz", b"ZZ", b"\xff\xff"),
)
VALUES = (
    *(b"", b" ", b"\\", b"\\\\\\", b"0", b"-1", b"1", b"0,7", b"0,7\\0,7", b"1;2", b"1 000", b"x"),
    *(b"nan", b"inf\\-inf", b"1e999", b"1e308\\1e308\\1e308", b"-1e-320", b"0x10", b"1_0", b"--1"),
    *(b"65535", b"65536", b"4294967296", b"1" * 70, b"1." + b"3" * 400, b"1.5", b"True", b"None"),
    *(b"\0", b"\xff\xff", b"\0\0", b"\x01\0", b"\x10\0\x10\0", b"\x7f\xff\xff\x7f", b"\0" * 64),
    *("０．７".encode(), "é".encode("latin-1"), b"\x1b[31m", b"a\nb", b"^=^", b"1\\" * 3000),
)


def parts_of(data):
    """Tag, type and value of each element of a slice, in the order of the file."""
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    write_dataset(file, data)
    content, parts, position = file.getvalue(), [], 0
    while position < len(content):
        group, number = (
            int.from_bytes(content[position + i : position + i + 2], "little") for i in (0, 2)
        )
        kind = content[position + 4 : position + 6]
        start, width = (12, 4) if kind in LONG else (8, 2)
        length = int.from_bytes(content[position + start - width : position + start], "little")
        position += start
        parts.append([group << 16 | number, kind, content[position : position + length], None])
        position += length
    return parts


def encoded(parts, implicit=False):
    """Bytes of a data set; the fourth entry of a part is its length, where it is not true."""
    content = b""
    for tag, kind, value, length in parts:
        length = len(value) if length is None else length
        content += (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        if implicit:
            content += length.to_bytes(4, "little")
        elif kind in LONG:
            content += kind + b"\0\0" + length.to_bytes(4, "little")
        else:
            content += kind + min(length, 65535).to_bytes(2, "little")
        content += value
    return content


def file_of(parts, data, form):
    """A file in one of `FORMS`."""
    if form == "bare":
        return encoded(parts, implicit=True)
    syntax = {"deflated": DeflatedExplicitVRLittleEndian, "run lengths": RLELossless}
    meta = data.file_meta
    if form in syntax:
        meta.TransferSyntaxUID = syntax[form]
    elif form == "implicit":
        meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = encoded(parts, implicit=form == "implicit")
    if form == "deflated":
        body = packer.compress(body) + packer.flush()
    head = [part for part in parts_of(meta) if part[0] != 0x00020000]
    size = len(encoded(head)).to_bytes(4, "little")
    return bytes(128) + b"DICM" + encoded([[0x00020000, b"UL", size, None], *head]) + body


def damage_tags(rng, parts):
    """One change to the list of elements."""
    index = int(rng.integers(len(parts)))
    part = parts[index]
    kind = rng.choice(["value", "value", "value", "type", "gone", "twice", "moved", "length"])
    if kind == "value":
        part[2] = _value(rng, part[2])
    elif kind == "type":
        part[1] = TYPES[rng.integers(len(TYPES))]
    elif kind == "gone":
        del parts[index]
    elif kind == "twice":
        parts.insert(index, [part[0], part[1], _value(rng, part[2]), None])
    elif kind == "moved":
        parts.insert(int(rng.integers(len(parts))), parts.pop(index))
    else:
        part[3] = int(rng.choice([0, 1, len(part[2]) + 1, 255, 65535, 2**31, 2**32 - 1]))


def _value(rng, old):
    kind = rng.integers(5)
    if kind == 0:
        return rng.bytes(int(rng.integers(1, 24)))
    if kind == 1:
        return old + b"\\" + old
    if kind == 2 and old:
        changed = bytearray(old)
        changed[rng.integers(len(old))] = rng.integers(256)
        return bytes(changed)
    return VALUES[rng.integers(len(VALUES))]


def damage_bytes(rng, content):
    """One change to a file as it lies on disk."""
    if not content:
        return content
    at = int(rng.integers(len(content)))
    kind = rng.integers(5)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + rng.bytes(int(rng.integers(1, 9))) + content[at:]
    if kind == 2:
        return content[:at] + content[at + int(rng.integers(1, 300)) :]
    changed = bytearray(content)
    for place in [at] if kind == 3 else rng.integers(len(content), size=20).tolist():
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def write_series(folder, seed):
    """Writes a series of which one slice, or each, is damaged.

    Returns:
        The values of all slices, `[column, row, slice]` in HU, and the indices of those that are
        not damaged.
    """
    rng = np.random.default_rng(seed)
    array = volume(SHAPE, seed)
    form, in_bytes = FORMS[rng.integers(len(FORMS))], rng.random() < 0.4
    every = rng.random() < 0.25
    chosen, shared = int(rng.integers(SHAPE[2])), int(rng.integers(2**32))
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(make_slices(array, series_affine(), f"1.2.3.{seed + 1}")):
        parts = parts_of(data)
        if form == "run lengths":
            data.compress(RLELossless)
            codes = data.PixelData + b"\xfe\xff\xdd\xe0\0\0\0\0"
            parts[-1] = [PIXELS, b"OB", codes, 2**32 - 1]
        hit = every or index == chosen
        draw = np.random.default_rng(shared)  # equal damage, where each slice has it
        for _ in range(int(draw.integers(1, 4)) if hit and not in_bytes else 0):
            damage_tags(draw, parts)
        content = file_of(parts, data, form)
        for _ in range(int(draw.integers(1, 4)) if hit and in_bytes else 0):
            content = damage_bytes(draw, content)
        (folder / f"{(index * 3 + 1) % SHAPE[2]}.dcm").write_bytes(content)
    return array, [] if every else [index for index in range(SHAPE[2]) if index != chosen]
