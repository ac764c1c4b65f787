"""DICOM: a folder with a CT series is read as one volume, or refused with the reason.

Slices are ordered by where they lie (ImagePositionPatient), never by name or number. The stored
array is `[column, row, slice]`, slices along the normal of the image plane, so a standard axial
series is stored LPS. The files are read one by one, with pydicom: readers of whole series stack
what they find, and a missing slice becomes a shorter spine, whereas the tags show what is wrong.
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from vfseg.data.geometry import Geometry, geometry_from
from vfseg.data.slice_stack import stack_slices
from vfseg.errors import UserError, quantity

PADDING_HU = -1024
"""Air, in place of padding values (outside the scan circle)."""

_TAGS = (
    *("SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "Modality", "ImageType"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "GantryDetectorTilt"),
)
_PLANE = {"PixelSpacing": 2, "ImagePositionPatient": 3, "ImageOrientationPatient": 6}  # numbers
_HOUNSFIELD_TYPES = ("", "HU", "HU_MOD", "US")  # US: not specified, as converters write
_NOT_PADDING_HU = (-900, 3072)  # values that tissue, bone or metal has


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A CT series that is a regular volume.

    Attributes:
        name: the folder and the chosen series, for messages.
        uid: SeriesInstanceUID.
        files: one slice each, in the order of the third stored axis.
        geometry: stored as `[column, row, slice]`.
    """

    name: str
    uid: str
    files: tuple[Path, ...]
    geometry: Geometry


def is_series_path(path: str | os.PathLike) -> bool:
    """Whether a path means a DICOM series: a folder, or FOLDER#PART-OF-THE-UID."""
    return _split_choice(path)[0].is_dir()


def holds_dicom(folder: Path) -> bool:
    """Whether a folder itself (not those below it) holds a DICOM file."""
    return any(is_dicom_file(path) for path in sorted(folder.iterdir()) if path.is_file())


def is_dicom_file(path: Path) -> bool:
    """Whether a file has the mark of DICOM after its 128 bytes of preamble."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def open_series(path: str | os.PathLike) -> Series:
    """Finds the series in a folder or below it, reads its headers, checks that it is a volume.

    Args:
        path: the folder; where it holds several series that could be a volume, followed by '#' and
            a part of the SeriesInstanceUID that only one of them has.

    Raises:
        UserError: no DICOM there; pydicom is not installed; several series (they are listed), or
            none of that UID; a file that cannot be read; slices that are no regular volume (see
            `stack_slices`); values that are not Hounsfield units.
    """
    folder, choice = _split_choice(path)
    headers = _headers(folder)
    found: dict[str, list[Any]] = {}
    for header in headers:
        found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    uid = _choose(folder, choice, found)
    name = f"{folder}#{uid}" if choice else str(folder)
    slices = found[uid]
    _check_values(name, slices)
    affine, order = stack_slices(name, slices)
    slices = [slices[index] for index in order]
    shape = (int(slices[0].Columns), int(slices[0].Rows), len(slices))
    files = tuple(Path(header.filename) for header in slices)
    return Series(name, uid, files, geometry_from(shape, affine, name))


def read_slices(series: Series) -> Iterator[tuple[slice, np.ndarray]]:
    """Voxels slice by slice in the order of the file: flat index range and HU (integer or float32).

    Raises:
        UserError: pixels are missing, damaged, or compressed in a way that cannot be read here.
    """
    import pydicom

    size = math.prod(series.geometry.stored_shape[:2])
    padded: set[int] = set()
    for index, path in enumerate(series.files):
        try:
            header = pydicom.dcmread(path)
            raw = header.pixel_array
        except RuntimeError as error:  # how pydicom says that no decoder is installed
            raise UserError(
                f"{path}: compressed in a way that cannot be read here ({_first_line(error)}). "
                "Install the decoders: pip install 'vfseg[dicom]'; or convert the series to NIfTI, "
                "for instance with dcm2niix."
            ) from error
        except Exception as error:  # damaged pixel data fails in many ways, by compression
            raise UserError(
                f"{path}: the pixels cannot be read ({_first_line(error)}). Copy or export the "
                "file again."
            ) from error
        yield slice(index * size, (index + 1) * size), _hounsfield(header, raw, padded)
    for value in sorted(padded):
        logging.warning(
            "%s: the tag PixelPaddingValue means %d HU, a value of tissue: not replaced by air",
            series.name,
            value,
        )


def _split_choice(path: str | os.PathLike) -> tuple[Path, str]:
    """Folder and, where the path is none itself, the text after the last '#'."""
    text = os.fspath(path)
    if "#" in text and not Path(text).exists():
        folder, _, choice = text.rpartition("#")
        return Path(folder or "."), choice
    return Path(text), ""


def _headers(folder: Path) -> list[Any]:
    """Headers of all DICOM images in a folder and below it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom_file(path)]
    if not files:
        raise UserError(
            f"{folder}: a folder without a DICOM slice. Give a NIfTI file (.nii or .nii.gz), or "
            "the folder of a DICOM series."
        )
    try:
        import pydicom
    except ImportError as error:
        raise UserError(
            f"{folder}: holds DICOM, which needs pydicom. Install it: pip install 'vfseg[dicom]'; "
            "or convert the series to NIfTI, for instance with dcm2niix."
        ) from error
    headers = []
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
            for tag in _TAGS:  # pydicom reads a value when it is asked for
                header.get(tag)
        except Exception as error:  # a damaged header fails in many ways
            raise UserError(
                f"{path}: damaged DICOM ({_first_line(error)}). Copy or export the file again."
            ) from error
        if "Rows" in header:  # no report, no DICOMDIR
            headers.append(header)
    if not headers:
        raise UserError(f"{folder}: DICOM without an image. Give the folder of a CT series.")
    return headers


def _choose(folder: Path, choice: str, found: dict[str, list[Any]]) -> str:
    """UID of the series that is meant."""
    remarks = {uid: _why_no_volume(headers) for uid, headers in found.items()}
    if choice:
        fitting = [uid for uid in found if choice in uid]
        fitting = [uid for uid in fitting if uid == choice] or fitting
    else:
        fitting = [uid for uid in found if not remarks[uid]]
    if len(fitting) == 1 and not remarks[fitting[0]]:
        if not choice:
            for uid in sorted(remarks.keys() - set(fitting)):
                logging.info("%s: left out %s: %s", folder, _line(uid, found), remarks[uid])
        return fitting[0]
    lines = [
        f"\n  {_line(uid, found)}" + (f": {remarks[uid]}" if remarks[uid] else "")
        for uid in sorted(found)
    ]
    what = f"{len(found)} series" if len(found) > 1 else "one series"
    if choice:
        what += f", {len(fitting) or 'none'} of them with {choice!r} in the UID"
    example = next((uid for uid in sorted(found) if not remarks[uid]), "")
    remedy = (
        f"Choose one by a part of its UID that no other has: '{folder}#{_end(example, found)}'."
        if example
        else "Give the folder of a CT series, or convert it to NIfTI, for instance with dcm2niix."
    )
    raise UserError(f"{folder}: {what}:{''.join(lines)}\n{remedy}")


def _why_no_volume(headers: list[Any]) -> str:
    """Why a series cannot be a CT volume, "" where it can."""
    first = headers[0]
    if first.get("Modality", "CT") != "CT":
        return f"{first.Modality}, not CT"
    if any(int(h.get("NumberOfFrames") or 1) > 1 for h in headers):
        return "many frames in one file (Enhanced CT), which is not supported; dcm2niix converts it"
    if any("LOCALIZER" in (h.get("ImageType") or ()) for h in headers):
        return "a localizer"
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if any(not h.get(tag) for h in headers):
            return f"slices without {tag}, so their place is not known"
    return "a single slice" if len(headers) == 1 else ""


def _line(uid: str, found: dict[str, list[Any]]) -> str:
    headers = found[uid]
    first = headers[0]
    spacing = [f"{size:.3g}" for size in _numbers(first, "PixelSpacing")]
    places = np.array([(_numbers(h, "ImagePositionPatient") + [0.0] * 3)[:3] for h in headers])
    if len(headers) > 1 and np.isfinite(places).all():
        axis = np.ptp(places, axis=0).argmax()
        gaps = np.linalg.norm(np.diff(places[np.argsort(places[:, axis])], axis=0), axis=1)
        spacing.append(f"{np.median(gaps):.3g}")
    return (
        f"...{_end(uid, found)}  {str(first.get('SeriesDescription', '')) or '(no description)'}, "
        f"{quantity(len(headers), 'slice')}" + (f", {' x '.join(spacing)} mm" if spacing else "")
    )


def _numbers(header: Any, tag: str) -> list[float]:
    """Values of a tag, of which a damaged header may hold any number; none where it is absent."""
    value = header.get(tag)
    if value is None:
        return []
    return [float(part) for part in (value if hasattr(value, "__iter__") else [value])]


def _end(uid: str, found: dict[str, list[Any]]) -> str:
    """End of a UID, long enough that no other series has it anywhere."""
    for length in range(min(8, len(uid)), len(uid)):
        if sum(uid[-length:] in other for other in found) == 1:
            return uid[-length:]
    return uid


def _check_values(name: str, slices: list[Any]) -> None:
    """Refuses slices without a place, and pixels that are not Hounsfield units."""
    for header in slices:
        where = f"{name}: {Path(header.filename).name}"
        remedy = "Export the original CT series from the archive."
        if header.get("PhotometricInterpretation") != "MONOCHROME2":
            kind = header.get("PhotometricInterpretation")
            raise UserError(f"{where}: {kind}, expected MONOCHROME2 (a screenshot?). {remedy}")
        if header.get("BitsAllocated") != 16:
            raise UserError(
                f"{where}: {header.get('BitsAllocated')} bits a pixel, expected 16: these are not "
                f"Hounsfield units (windowed for display?). {remedy}"
            )
        for tag, count in _PLANE.items():
            found = _numbers(header, tag)
            if len(found) != count or (tag == "PixelSpacing" and not min(found) > 0):
                above = " above 0" if tag == "PixelSpacing" else ""
                raise UserError(
                    f"{where}: {tag} {found}, expected {count} numbers{above}, so the place of "
                    f"the slice is not known. {remedy}"
                )
        if header.get("RescaleIntercept") is None or header.get("RescaleSlope") is None:
            raise UserError(
                f"{where}: no RescaleSlope and RescaleIntercept, without which values are not in "
                f"Hounsfield units. {remedy}"
            )
        slope = _numbers(header, "RescaleSlope") + _numbers(header, "RescaleIntercept")
        if len(slope) != 2 or not np.isfinite(slope).all() or slope[0] == 0:
            raise UserError(
                f"{where}: RescaleSlope {header.RescaleSlope} and RescaleIntercept "
                f"{header.RescaleIntercept} give no Hounsfield units. {remedy}"
            )
        if str(header.get("RescaleType") or "") not in _HOUNSFIELD_TYPES:
            raise UserError(
                f"{where}: values in {header.RescaleType}, not in Hounsfield units. {remedy}"
            )


def _hounsfield(header: Any, raw: np.ndarray, padded: set[int]) -> np.ndarray:
    """Flat pixels of a slice in HU; adds a padding value that was not replaced to `padded`."""
    unused = header.BitsAllocated - header.BitsStored  # they may hold anything, such as overlays
    raw = ((raw << unused) >> unused).ravel() if unused else raw.ravel()
    slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
    values: np.ndarray
    if slope == 1 and intercept.is_integer():
        values = raw.astype(np.int32) + np.int32(intercept)
    else:
        values = raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    padding = header.get("PixelPaddingValue")
    if padding is not None:
        limit = header.get("PixelPaddingRangeLimit", padding)
        bounds = np.array([padding, limit], np.int64)
        if header.PixelRepresentation:  # -2000 is often written as 63536
            bounds = bounds.astype(np.uint16).astype(np.int16)
        low, high = bounds.min(), bounds.max()
        low_hu, high_hu = sorted((low * slope + intercept, high * slope + intercept))
        if high_hu <= _NOT_PADDING_HU[0] or low_hu >= _NOT_PADDING_HU[1]:
            values[(raw >= low) & (raw <= high)] = PADDING_HU
        else:
            padded.add(round(low_hu))
    return values


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
