"""One slice of a DICOM series: its tags as numbers, and why it is no slice of a CT.

Every conversion of a tag is made here, once, and may fail: what follows sees plain numbers.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from vfseg.data.dicom_file import PIXEL_BYTES, Pixels, read_pixels, read_tags
from vfseg.errors import UserError

PADDING_HU = -1024
"""Air, in place of padding values (outside the scan circle)."""

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "Modality"),
    *("ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated"),
    *("BitsStored", "PixelRepresentation", "PhotometricInterpretation", "PixelSpacing"),
    *("ImageOrientationPatient", "ImagePositionPatient", "GantryDetectorTilt", "RescaleSlope"),
    *("RescaleIntercept", "RescaleType", "PixelPaddingValue", "PixelPaddingRangeLimit"),
)
_PLANE = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}  # numbers
_HOUNSFIELD_TYPES = ("", "HU", "HU_MOD", "US")  # US: not specified, as converters write
_NOT_PADDING_HU = (-900, 3072)  # values that tissue, bone or metal has
_LARGEST = 1e6  # of a place in mm, and any other number of a plane
_SMALLEST_SPACING = 1e-6  # mm
_LARGEST_HU = 2**24  # to which float32 is exact
_LONGEST_SHOWN = 60
_COPY = "Copy or export the file again."
_CODES = 2, 2**16  # no compression makes a slice larger than this factor, and tables


@dataclasses.dataclass(frozen=True)
class Slice:
    """A DICOM image, as far as its tags could be read.

    Where `other` and `fault` are empty, all numbers are there, finite, and make sense.

    Attributes:
        path: of its file.
        series: SeriesInstanceUID.
        image: SOPInstanceUID.
        description: of the series.
        rows: of pixels; 0 where the tag is missing or damaged.
        columns: likewise.
        spacing: between rows and between columns, mm.
        orientation: direction cosines along a row, then down a column, LPS.
        position: of the first pixel, LPS mm.
        tilt: of the gantry, degrees, as the tag says; None where it says nothing.
        slope: HU of a step.
        intercept: HU of a stored 0.
        bits: of 16 that hold the value, the lowest ones.
        signed: whether they hold a sign.
        padding: lowest and highest stored value that means outside the scan; none where no tag.
        pixels: where they lie; None where there are none.
        other: why it is an image of another kind, such as a localizer; "" where it is not.
        fault: what is wrong with it as a slice of a CT in HU; "" where nothing is.
    """

    path: Path
    series: str
    image: str
    description: str
    rows: int
    columns: int
    spacing: tuple[float, ...]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    tilt: float | None
    slope: float
    intercept: float
    bits: int
    signed: bool
    padding: tuple[int, ...]
    pixels: Pixels | None
    other: str
    fault: str

    def __str__(self):
        """Name of the file, and what is wrong with it."""
        return f"{self.path.name}: {self.other or self.fault}"


def read_slice(path: Path) -> Slice | None:
    """Tags of an image; None where the file is whole and holds none, as a report or DICOMDIR.

    Raises:
        UserError: the file cannot be parsed, or is cut short before it says what it is.
    """
    data, pixels = read_tags(path, _TAGS)
    tags = _Tags(data)
    meta = _Tags(getattr(data, "file_meta", {}))
    kind = tags.text("SOPClassUID") or meta.text("MediaStorageSOPClassUID")
    series = tags.text("SeriesInstanceUID")
    if "Rows" not in data and pixels is None:
        if kind not in ("", _CT_IMAGE):
            return None
        if not series:
            raise UserError(f"{path.name}: ends before it says what it is. {_COPY}")
    plane = {tag: tags.numbers(tag) for tag in _PLANE}
    slope, intercept = tags.numbers("RescaleSlope"), tags.numbers("RescaleIntercept")
    padding = tags.numbers("PixelPaddingValue")[:1]
    padding += tags.numbers("PixelPaddingRangeLimit")[:1] if padding else ()
    signed = tags.numbers("PixelRepresentation")
    if signed not in ((0,), (1,)) and "PixelRepresentation" not in tags.faults:
        tags.faults["PixelRepresentation"] = f"PixelRepresentation {list(signed)}, expected 0 or 1"
    found = Slice(
        path,
        series,
        tags.text("SOPInstanceUID"),
        tags.text("SeriesDescription"),
        tags.count("Rows"),
        tags.count("Columns"),
        plane["PixelSpacing"],
        plane["ImageOrientationPatient"],
        plane["ImagePositionPatient"],
        next(iter(_Tags(data).numbers("GantryDetectorTilt")), None),  # faults do not matter
        slope[0] if len(slope) == 1 else math.nan,
        intercept[0] if len(intercept) == 1 else math.nan,
        tags.count("BitsStored"),
        signed == (1,),
        tuple(int(value) for value in padding),
        pixels,
        "",
        "",
    )
    other = _other_kind(found, tags, plane)
    return dataclasses.replace(found, other=other, fault=_fault(found, tags, plane))


def slice_values(header: Slice, padded: set[int]) -> np.ndarray:
    """Flat pixels of a slice in HU; adds a padding value that was not replaced to `padded`.

    Raises:
        UserError: as in `read_pixels`.
    """
    assert header.pixels is not None
    raw = read_pixels(header.path, header.pixels, (header.rows, header.columns), header.signed)
    unused = 8 * PIXEL_BYTES - header.bits  # they may hold anything, such as overlays
    raw = ((raw << unused) >> unused).ravel() if unused else raw.ravel()
    slope, intercept = header.slope, header.intercept
    values: np.ndarray
    if slope == 1 and intercept.is_integer():
        values = raw.astype(np.int32) + np.int32(intercept)
    else:
        values = raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if header.padding:
        bounds = np.array(header.padding, np.int64)
        if header.signed:  # -2000 is often written as 63536
            bounds = bounds.astype(np.uint16).astype(np.int16)
        low, high = bounds.min(), bounds.max()
        low_hu, high_hu = sorted((low * slope + intercept, high * slope + intercept))
        if high_hu <= _NOT_PADDING_HU[0] or low_hu >= _NOT_PADDING_HU[1]:
            values[(raw >= low) & (raw <= high)] = PADDING_HU
        else:
            padded.add(round(low_hu))
    return values


class _Tags:
    """Values of a data set's tags, converted; `faults` says by tag which could not be."""

    def __init__(self, data: Any):
        self._data = data
        self.faults: dict[str, str] = {}

    def text(self, tag: str) -> str:
        """As printable characters; empty where the tag is missing or cannot be read."""
        return "\\".join(self.texts(tag))

    def texts(self, tag: str) -> tuple[str, ...]:
        try:
            found = [str(value) for value in self._values(tag)]
        except Exception:  # conversions fail in many ways
            return ()
        return tuple("".join(c if c.isprintable() else "?" for c in text) for text in found)

    def numbers(self, tag: str) -> tuple[float, ...]:
        """None where the tag is missing or empty; also where it cannot be read, which is noted."""
        try:
            found = tuple(float(value) for value in self._values(tag))
        except Exception:  # conversions fail in many ways
            self.faults[tag] = f"{tag} {self.shown(tag)} cannot be read as numbers"
            return ()
        if not all(abs(value) <= _LARGEST for value in found):  # also false for NaN
            self.faults[tag] = f"{tag} {self.shown(tag)}, expected numbers up to {_LARGEST:g}"
            return ()
        return found

    def count(self, tag: str) -> int:
        """A whole number above 0; 0 where there is none, which is noted."""
        found = self.numbers(tag)
        if len(found) == 1 and found[0] >= 1 and found[0].is_integer():
            return int(found[0])
        self.faults[tag] = f"{tag} {self.shown(tag)}, expected one whole number above 0"
        return 0

    def _values(self, tag: str) -> list[Any]:
        value = self._data.get(tag)
        if value is None or isinstance(value, str):
            return [value] if value else []
        if isinstance(value, bytes):
            raise ValueError("a number as raw bytes")
        return list(value) if hasattr(value, "__iter__") else [value]

    def shown(self, tag: str) -> str:
        """What the file holds, for messages."""
        try:
            value = getattr(self._data.get_item(tag), "value", None)
            text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        except Exception:  # conversions fail in many ways
            return "that cannot be shown"
        return "missing" if value is None else repr(text[:_LONGEST_SHOWN])


def _other_kind(header: Slice, tags: _Tags, plane: dict[str, tuple[float, ...]]) -> str:
    """Why an image is of another kind, "" where it is a slice that lies somewhere."""
    modality = tags.text("Modality")
    if modality not in ("", "CT"):
        return f"{modality}, not CT"
    if max(tags.numbers("NumberOfFrames"), default=1) > 1:
        return "many frames in one file (Enhanced CT), which is not supported; dcm2niix converts it"
    if "LOCALIZER" in tags.texts("ImageType"):
        return "a localizer"
    if header.pixels is None:
        return ""  # cut short: the tags may be lost
    for tag, values in plane.items():
        if not values and tag not in tags.faults:
            return f"without {tag}, so its place is not known"
    return ""


def _fault(header: Slice, tags: _Tags, plane: dict[str, tuple[float, ...]]) -> str:
    """What is wrong with a slice of a CT, "" where nothing is."""
    if header.pixels is None:
        return "no pixels (cut short?)"
    kind = tags.text("PhotometricInterpretation")
    samples = max(tags.numbers("SamplesPerPixel"), default=1)
    if kind != "MONOCHROME2" or samples != 1:
        found = kind or "no PhotometricInterpretation"
        found += f" of {samples:g} values a pixel" if samples != 1 else ""
        return f"{found}, expected MONOCHROME2 (a screenshot?)"
    bits = tags.count("BitsAllocated")
    if bits and bits != 8 * PIXEL_BYTES:
        return (
            f"{bits} bits a pixel, expected 16: these are not Hounsfield units (windowed for "
            "display?)"
        )
    for tag, count in _PLANE.items():
        values = plane[tag]
        spacing = tag == "PixelSpacing"
        if tag not in tags.faults and (
            len(values) != count or (spacing and min(values) < _SMALLEST_SPACING)
        ):
            return (
                f"{tag} {list(values)}, expected {count} numbers{' above 0' if spacing else ''}, "
                "so the place of the slice is not known"
            )
    if tags.faults:
        return next(iter(tags.faults.values()))
    slope, intercept = tags.numbers("RescaleSlope"), tags.numbers("RescaleIntercept")
    if not (slope and intercept):
        return (
            "no RescaleSlope and RescaleIntercept, without which values are not in Hounsfield units"
        )
    largest = abs(header.slope) * 2**16 + abs(header.intercept)
    if header.slope == 0 or not largest <= _LARGEST_HU:  # also where one is NaN
        return (
            f"RescaleSlope {tags.shown('RescaleSlope')} and RescaleIntercept "
            f"{tags.shown('RescaleIntercept')} give no Hounsfield units"
        )
    unit = tags.text("RescaleType")
    if unit not in _HOUNSFIELD_TYPES:
        return f"values in {unit}, not in Hounsfield units"
    if header.bits > 8 * PIXEL_BYTES:
        return f"BitsStored {header.bits}, expected 16 or fewer"
    return _pixel_fault(header, header.pixels)


def _pixel_fault(header: Slice, pixels: Pixels) -> str:
    needed = header.rows * header.columns * PIXEL_BYTES
    size = f"{header.rows} x {header.columns} pixels need {needed} bytes"
    if pixels.compressed:
        factor, tables = _CODES
        if pixels.size > factor * needed + tables:
            return f"{pixels.size} bytes of compressed pixels, while {size}"
        return "" if pixels.complete else "cut short within the compressed pixels"
    if pixels.size < needed:
        return f"cut short: {pixels.size} bytes of pixels are there, while {size}"
    return ""
