"""DICOM: a folder with a CT series is read as one volume, or refused with the reason.

Slices are ordered by where they lie (ImagePositionPatient), never by name or number. The stored
array is `[column, row, slice]`, slices along the normal of the image plane, so a standard axial
series is stored LPS. The files are read one by one, with pydicom: readers of whole series stack
what they find, and a missing slice becomes a shorter spine, whereas the tags show what is wrong.

Files of another kind in a series (a localizer, a capture), and a few that are damaged, are left out
and named. Where one of them leaves a gap, the series is refused.
"""

import dataclasses
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from vfseg.data.dicom_file import PIXEL_BYTES, is_dicom_file
from vfseg.data.dicom_slice import Slice, read_slice, slice_values
from vfseg.data.geometry import Geometry, geometry_from
from vfseg.data.limits import check_size
from vfseg.data.slice_stack import is_few, stack_slices
from vfseg.errors import UserError, quantity
from vfseg.files import entries, is_special_file

_SHOWN = 3
_LONGEST_AXIS = 2**15 - 1  # of NIfTI, as which maps are written
_EXPORT = "Export the original CT series from the archive."


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A CT series that is a regular volume.

    Attributes:
        name: the folder and the chosen series, for messages.
        slices: in the order of the third stored axis.
        geometry: stored as `[column, row, slice]`.
        left_out: files that do not belong to the volume, by name, and why.
    """

    name: str
    slices: tuple[Slice, ...]
    geometry: Geometry
    left_out: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """One slice each."""
        return tuple(header.path for header in self.slices)


def is_series_path(path: str | os.PathLike) -> bool:
    """Whether a path means a DICOM series: a folder, or FOLDER#PART-OF-THE-UID."""
    return _split_choice(path)[0].is_dir()


def holds_dicom(folder: Path) -> bool:
    """Whether a folder itself (not those below it) holds a DICOM file.

    Raises:
        UserError: it cannot be read.
    """
    return any(is_dicom_file(path) for path in entries(folder))


def open_series(path: str | os.PathLike) -> Series:
    """Finds the series in a folder or below it, reads its headers, checks that it is a volume.

    Args:
        path: the folder; where it holds several series that could be a volume, followed by '#' and
            a part of the SeriesInstanceUID that only one of them has.

    Raises:
        UserError: no DICOM there; pydicom is not installed; several series (they are listed), or
            none of that UID; more than a few damaged files; slices that are no regular volume (see
            `stack_slices`); values that are not Hounsfield units; a volume larger than
            `check_size` allows, or longer than NIfTI does.
    """
    folder, choice = _split_choice(path)
    headers, unread, passed_over = _read_headers(folder)
    found: dict[str, list[Slice]] = {}
    for header in headers:
        found.setdefault(header.series, []).append(header)
    uid = _choose(folder, choice, found)
    name = f"{folder}#{uid}" if choice else str(folder)
    images = [header for header in found[uid] if not header.other]
    sound = [header for header in images if not header.fault]
    damaged = [f"{header}. {_EXPORT}" for header in images if header.fault] + unread
    if len(sound) < 2 or not is_few(len(damaged), len(sound)):
        more = (
            [f"and {quantity(len(damaged) - _SHOWN, 'file')} more."]
            if len(damaged) > _SHOWN
            else []
        )
        raise UserError(f"{name}: " + "\n  ".join(damaged[:_SHOWN] + more))
    others = [str(header) for header in found[uid] if header.other]
    affine, slices, left_out = stack_slices(name, sound, others + damaged)
    shape = (slices[0].columns, slices[0].rows, len(slices))
    check_size(name, math.prod(shape) * PIXEL_BYTES)
    if max(shape) > _LONGEST_AXIS:
        raise UserError(
            f"{name}: {' x '.join(map(str, shape))} voxels, more along an axis than the "
            f"{_LONGEST_AXIS} that a map can have (a damaged header?). {_EXPORT}"
        )
    geometry = geometry_from(shape, affine, name)
    return Series(name, tuple(slices), geometry, (*left_out, *passed_over))


def read_slices(series: Series) -> Iterator[tuple[slice, np.ndarray]]:
    """Voxels slice by slice in the order of the file: flat index range and HU (integer or float32).

    Warns of what was left out.

    Raises:
        UserError: pixels are missing, damaged, or compressed in a way that cannot be read here.
    """
    for remark in series.left_out:
        logging.warning("%s: left out %s", series.name, remark)
    _quiet()
    size = math.prod(series.geometry.stored_shape[:2])
    padded: set[int] = set()
    for index, header in enumerate(series.slices):
        yield slice(index * size, (index + 1) * size), slice_values(header, padded)
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


def _quiet() -> None:
    """What pydicom warns of in a tag is said here, where it matters, with the file and a remedy."""
    import pydicom

    pydicom.config.logger.setLevel("ERROR")
    warnings.filterwarnings("ignore", module="pydicom")


def _read_headers(folder: Path) -> tuple[list[Slice], list[str], list[str]]:
    """Headers of all DICOM images in a folder and below it.

    Also what could not be read, and what is not looked into; each with its name.
    """
    paths = sorted(folder.rglob("*"))
    files = [path for path in paths if is_dicom_file(path)]
    if not files:
        raise UserError(
            f"{folder}: a folder without a DICOM slice. Give a NIfTI file (.nii or .nii.gz), or "
            "the folder of a DICOM series."
        )
    try:
        _quiet()
    except ImportError as error:
        raise UserError(
            f"{folder}: holds DICOM, which needs pydicom. Install it: pip install 'vfseg[dicom]'; "
            "or convert the series to NIfTI, for instance with dcm2niix."
        ) from error
    headers, unread = [], []
    for path in files:
        try:
            header = read_slice(path)
        except UserError as error:
            unread.append(str(error))
            continue
        if header is not None:
            headers.append(header)
    if not headers:
        what = "\n  ".join(["DICOM without an image. Give the folder of a CT series.", *unread])
        raise UserError(f"{folder}: {what}")
    passed_over = [
        f"{path.name}: a pipe, socket or device" for path in paths if is_special_file(path)
    ]
    return headers, unread, passed_over


def _choose(folder: Path, choice: str, found: dict[str, list[Slice]]) -> str:
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


def _why_no_volume(headers: Sequence[Slice]) -> str:
    """Why a series cannot be a CT volume, "" where it can."""
    others = [header.other for header in headers if header.other]
    if 2 * len(others) >= len(headers):
        return others[0]
    return "a single slice" if len(headers) - len(others) == 1 else ""


def _line(uid: str, found: dict[str, list[Slice]]) -> str:
    headers = found[uid]
    spacing = [f"{size:.3g}" for size in headers[0].spacing]
    if len(headers) > 1:
        places = np.array([(header.position + (0.0,) * 3)[:3] for header in headers])
        axis = np.ptp(places, axis=0).argmax()
        gaps = np.linalg.norm(np.diff(places[np.argsort(places[:, axis])], axis=0), axis=1)
        spacing.append(f"{np.median(gaps):.3g}")
    return (
        f"...{_end(uid, found)}  {headers[0].description or '(no description)'}, "
        f"{quantity(len(headers), 'slice')}" + (f", {' x '.join(spacing)} mm" if spacing else "")
    )


def _end(uid: str, found: dict[str, list[Slice]]) -> str:
    """End of a UID, long enough that no other series has it anywhere."""
    for length in range(min(8, len(uid)), len(uid)):
        if sum(uid[-length:] in other for other in found) == 1:
            return uid[-length:]
    return uid
