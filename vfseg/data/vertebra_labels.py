"""Label maps of the vertebrae in every form: one file, one for each class, or made on the spot."""

import os
import re
import tempfile
from pathlib import Path

import numpy as np
from absl import logging

from vfseg.data.geometry import check_same_geometry
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.packing import is_named_as_packed
from vfseg.data.schemes import SPINE_IDS
from vfseg.data.volume import Volume, read_labels, write_ct, write_labels
from vfseg.errors import UserError, quantity
from vfseg.files import entries

_IDS = {name: label for label, name in SPINE_IDS["totalsegmentator"].items()}
_CLASS_FILE = re.compile(r"(?:vertebrae_([CTLS]\d{1,2})|(sacrum))\.nii(?:\.gz)?")
# T4 to L5 and their neighbours, against which the anatomy is checked.
_CLASSES = [
    f"vertebrae_{name}"
    for label, name in SPINE_IDS["totalsegmentator"].items()
    if 26 <= label <= 41
]


def label_files(path: str | os.PathLike) -> tuple[Path, ...]:
    """The files that a label map is read from: itself, or the vertebrae among a folder's classes.

    Raises:
        UserError: a folder without a file of a vertebra, or with two files of one.
    """
    path = Path(path)
    return tuple(_class_files(path).values()) if path.is_dir() else (path,)


def is_class_folder(folder: Path) -> bool:
    """Whether a folder holds a mask for each class, as TotalSegmentator writes them.

    Raises:
        UserError: it cannot be read.
    """
    return any(_CLASS_FILE.fullmatch(path.name) for path in entries(folder))


def read_vertebra_labels(path: str | os.PathLike) -> Volume:
    """Label map from one file, or from a folder with a mask for each class.

    Masks are named as TotalSegmentator names them (`vertebrae_L5.nii.gz`, `sacrum.nii.gz`); they
    are merged into one map with the numbers of its version 2 (L5 = 27 to C1 = 50). Other files of
    the folder (organs) are not read.

    Raises:
        UserError: as in `read_labels` and `label_files`; masks on different grids, or with more
            values than 0 and another one.
    """
    path = Path(path)
    if not path.is_dir():
        return read_labels(path)
    merged: Volume | None = None
    for name, file in _class_files(path).items():
        mask = read_labels(file)
        if merged is None:
            first = file
            merged = Volume(np.zeros(mask.shape, np.uint8), mask.geometry)
        check_same_geometry(merged.geometry, mask.geometry, str(first), str(file))
        inside = mask.array != 0
        if not inside.any():
            continue  # TotalSegmentator writes empty masks for what it did not find
        values = mask.array[inside]
        if values.min() != values.max():
            raise UserError(
                f"{file}: values from {values.min()} to {values.max()}, expected a mask of 0 and "
                "1. Give a label map of many vertebrae as a file, not in a folder."
            )
        twice = int(np.count_nonzero(merged.array[inside]))
        if twice:
            logging.warning(
                "%s: %s also in the mask of another vertebra, counted for %s",
                file,
                quantity(twice, "voxel"),
                name,
            )
        merged.array[inside] = _IDS[name]
    assert merged is not None  # `_class_files` found one
    return merged


def segment_vertebrae(ct_path: str | os.PathLike, output_path: str | os.PathLike) -> None:
    """Labels the vertebrae of a CT with TotalSegmentator; writes the map on the CT's grid.

    Calls `totalsegmentator.python_api.totalsegmentator` (version 2) for T3 to S1; it picks a GPU
    where there is one, and downloads its weights when it runs first.

    Args:
        ct_path: NIfTI file or DICOM series (see `read_ct`).
        output_path: label map to write, ids of `totalsegmentator`.

    Raises:
        UserError: TotalSegmentator is not installed, or fails; the CT cannot be read, or the map
            cannot be written.

    References:
        Wasserthal et al., TotalSegmentator: Robust Segmentation of 104 Anatomic Structures in CT
        Images, Radiology: Artificial Intelligence 2023.
    """
    try:
        from totalsegmentator.python_api import totalsegmentator
    except ImportError as error:
        raise UserError(
            f"--vertebrae auto needs TotalSegmentator, which cannot be imported ({error}). "
            "Install it: pip install 'TotalSegmentator>=2' (it brings PyTorch, and downloads its "
            "weights when it runs first); or give --vertebrae LABELMAP or --boxes FILE."
        ) from error
    ct = read_hounsfield(ct_path)
    geometry = ct.geometry
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(ct_path), Path(folder, "vertebrae.nii.gz")
        # Its own conversion of DICOM knows no choice of a series, and it goes by a file's name.
        if not source.is_file() or not is_named_as_packed(source):
            source = Path(folder, "ct.nii.gz")
            write_ct(source, ct.array, geometry)
        try:
            totalsegmentator(source, result, ml=True, roi_subset=list(_CLASSES), quiet=True)
        except (Exception, SystemExit) as error:  # it ends the program where weights are refused
            raise UserError(
                f"{ct_path}: TotalSegmentator failed ({type(error).__name__}: {error}). Run it by "
                "hand to see why (TotalSegmentator -i CT -o FILE --ml), then give "
                "--vertebrae FILE."
            ) from error
        if not result.is_file():
            raise UserError(
                f"{ct_path}: TotalSegmentator wrote no label map. Run it by hand "
                "(TotalSegmentator -i CT -o FILE --ml), then give --vertebrae FILE."
            )
        labels = read_labels(result)
        check_same_geometry(geometry, labels.geometry, str(ct_path), "the map of TotalSegmentator")
        write_labels(output_path, labels.array, geometry)


def _class_files(folder: Path) -> dict[str, Path]:
    """Name of a vertebra (or S1, sacrum) -> its mask, caudal to cranial."""
    found: dict[str, Path] = {}
    for path in entries(folder):
        match = _CLASS_FILE.fullmatch(path.name)
        name = match and (match[1] or match[2])
        if name not in _IDS:
            continue
        if name in found:
            raise UserError(f"{folder}: both {found[name].name} and {path.name}. Keep one of them.")
        found[name] = path
    if not found:
        raise UserError(
            f"{folder}: a folder without a mask of a vertebra (vertebrae_L5.nii.gz, ...). Give a "
            "label map, or the folder that TotalSegmentator wrote."
        )
    return dict(sorted(found.items(), key=lambda item: _IDS[item[0]]))
