"""A CT series as its DICOM results refer to it: what identifies it, where it lies, and no more.

Of the patient and the study the results carry what every DICOM object must have (type 1 and 2 of
the modules Patient and General Study), as the series has it.
"""

import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from vfseg.data.dicom import open_series
from vfseg.data.dicom_file import first_line, read_tags
from vfseg.data.dicom_slice import Slice
from vfseg.data.geometry import Geometry
from vfseg.errors import UserError

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")
_OF_SERIES = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_CARRIED = {
    "PatientName": re.compile(r".{0,192}"),
    "PatientID": re.compile(r".{0,64}"),
    "PatientBirthDate": re.compile(r"(\d{8})?"),
    "PatientSex": re.compile(r"[MFO]?"),
    "StudyDate": re.compile(r"(\d{8})?"),
    "StudyTime": re.compile(r"(\d\d(\d\d(\d\d(\.\d{1,6})?)?)?)?"),
    "StudyID": re.compile(r".{0,16}"),
    "AccessionNumber": re.compile(r".{0,16}"),
    "ReferringPhysicianName": re.compile(r".{0,192}"),
}
_REMEDY = "Export the original CT series from the archive, or leave out --dicom."


class Source(NamedTuple):
    """A series that results refer to.

    Attributes:
        images: one data set a slice, in the order of the third stored axis, without pixels.
        geometry: of the volume that they are.
    """

    images: tuple[Any, ...]
    geometry: Geometry


def check_dicom_can_be_made() -> None:
    """Refuses to begin where the library that makes DICOM is missing.

    Raises:
        UserError: highdicom is not installed.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise UserError("--dicom needs highdicom. Install it: pip install 'vfseg[dicom]'.")


def open_source(path: str | os.PathLike) -> Source:
    """What identifies the slices of a CT series, and whose they are.

    A tag of the patient or the study whose value no DICOM object may have is left empty, with a
    warning.

    Args:
        path: of the series, see `open_series`.

    Raises:
        UserError: as `open_series`; a slice that nothing can refer to; slices of several studies or
            frames of reference.
    """
    series = open_series(path)
    read = [
        read_tags(header.path, (*_OF_SERIES, "SOPInstanceUID", *(_CARRIED if not at else ())))[0]
        for at, header in enumerate(series.slices)
    ]
    for tag in _OF_SERIES:
        _check_uids(series.name, tag, {_text(data, tag) for data in read}, most=1)
    names = [_text(data, "SOPInstanceUID") for data in read]
    _check_uids(series.name, "SOPInstanceUID", names, most=len(names))
    if len(set(names)) < len(names):
        raise UserError(f"{series.name}: slices with one SOPInstanceUID. {_REMEDY}")
    carried = {tag: _carried(series.name, read[0], tag) for tag in _CARRIED}
    step = float(np.linalg.norm(series.geometry.stored_affine[:3, 2]))
    images = [_image(header, data, carried, step) for header, data in zip(series.slices, read)]
    return Source(tuple(images), series.geometry)


def _image(header: Slice, data: Any, carried: dict[str, str], step: float) -> Any:
    """A slice without pixels, with the tags that objects made from it need.

    It is as thick as it is far from the next: results have the voxels of the volume.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian
    from pydicom.valuerep import DSfloat

    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.Modality = _CT_IMAGE, "CT"
    for tag in (*_OF_SERIES, "SOPInstanceUID"):
        setattr(image, tag, _text(data, tag))
    for tag, value in carried.items():
        setattr(image, tag, value)
    image.PositionReferenceIndicator = ""
    image.Rows, image.Columns = header.rows, header.columns
    image.BitsAllocated = image.BitsStored = 16
    for tag, values in (
        ("SliceThickness", [step]),
        ("PixelSpacing", header.spacing),
        ("ImageOrientationPatient", header.orientation),
        ("ImagePositionPatient", header.position),
    ):
        numbers = [DSfloat(value, auto_format=True) for value in values]
        setattr(image, tag, numbers if len(numbers) > 1 else numbers[0])
    return image


def _text(data: Any, tag: str) -> str:
    """Value of a tag as it is written; "" where it is missing or cannot be read."""
    try:
        value = data.get(tag)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return "\\".join(map(str, value))  # several values, as they are written
        return "" if value is None else str(value)
    except Exception as error:  # conversions fail in many ways
        logging.debug("%s: %s", tag, first_line(error))
        return ""


def _carried(name: str, data: Any, tag: str) -> str:
    value = _text(data, tag)
    if _CARRIED[tag].fullmatch(value) and value.isprintable() and "\\" not in value:
        return value
    logging.warning("%s: %s is not what DICOM allows: left empty in the results", name, tag)
    return ""


def _check_uids(name: str, tag: str, values: Iterable[str], most: int) -> None:
    found = sorted(set(values))
    wrong = [value for value in found if not _UID.fullmatch(value)]
    if wrong:
        what = f"{tag} {wrong[0][:64]!r}" if wrong[0] else f"no {tag}"
        raise UserError(f"{name}: {what}, so that no DICOM result can refer to it. {_REMEDY}")
    if len(found) > most:
        raise UserError(f"{name}: slices of {len(found)} different {tag}. {_REMEDY}")
