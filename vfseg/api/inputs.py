"""Images and tables in memory, put down as the files that the rest of the package reads.

So what lies in memory is checked like a file, and gives the same results to the bit.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from vfseg.errors import CannotWrite, UserError
from vfseg.files import write_table

Image = str | os.PathLike | nib.spatialimages.SpatialImage | tuple[np.ndarray, np.ndarray]
"""A path (NIfTI file, DICOM folder), an image of nibabel, or (array, affine): voxels in any
orientation, and [4, 4] from their indices to mm in RAS+."""

Places = str | os.PathLike | Mapping[str, Sequence[float]]
"""A path, or numbers for each level: {"L1": (...), "L2": (...)}."""

POINT_AXES = ("x", "y", "z")


@contextlib.contextmanager
def named_as_given(folder: Path) -> Iterator[None]:
    """Leaves a folder out of messages: of what was put down in it, nobody gave the path.

    Raises:
        UserError: that was raised within, in those words.
        CannotWrite: as it was raised: there the folder is what matters.
    """
    try:
        yield
    except CannotWrite:
        raise
    except UserError as error:
        raise UserError(str(error).replace(f"{folder}{os.sep}", "")) from error


def image_file(image: Image, path: Path) -> Path:
    """The file of an image; one that lies in memory is written to `path`, which ends in `.nii`.

    Raises:
        TypeError: it is no `Image`.
        UserError: an affine of another shape.
    """
    if isinstance(image, str | os.PathLike):
        return Path(image)
    if isinstance(image, tuple) and len(image) == 2:
        array, affine, header = np.asarray(image[0]), np.asarray(image[1], np.float64), None
        if affine.shape != (4, 4):
            raise UserError(f"{path.stem}: an affine of shape {affine.shape}, expected (4, 4).")
    elif isinstance(image, nib.spatialimages.SpatialImage):
        array, affine = np.asanyarray(image.dataobj), image.affine
        header = image.header if isinstance(image, nib.Nifti1Image) else None
    else:
        raise TypeError(
            f"{path.stem}: expected a path, an image of nibabel or (array, affine), got "
            f"{type(image).__name__}"
        )
    array = array.astype(_stored_dtype(array), copy=False)
    stored = nib.Nifti1Image(array, affine, header)
    stored.header.set_data_dtype(array.dtype)
    stored.header.set_slope_inter(1, 0)
    nib.save(stored, path)
    return path


def table_file(places: Places, columns: Sequence[str], path: Path) -> Path:
    """The file of boxes or points; those that lie in memory are written to `path`, as CSV.

    Args:
        places: of the levels.
        columns: what their numbers are, `BOX_EDGES` or `POINT_AXES`.
        path: of the CSV file.

    Raises:
        TypeError: they are no `Places`.
        UserError: a level has another number of them, or what is none.
    """
    if isinstance(places, str | os.PathLike):
        return Path(places)
    if not isinstance(places, Mapping):
        raise TypeError(f"{path.stem}: expected a path or a mapping, got {type(places).__name__}")
    rows: list[dict[str, Any]] = []
    for level, numbers in places.items():
        try:
            texts = [repr(float(n)) for n in numbers]  # as texts, so that no digit is lost
        except (TypeError, ValueError):
            texts = []
        if len(texts) != len(columns):
            raise UserError(
                f"{path.stem}: {level} has {numbers!r}, expected {len(columns)} numbers: "
                f"{', '.join(columns)}."
            )
        rows.append({"level": level, **dict(zip(columns, texts))})
    write_table(path, rows, ("level", *columns))
    return path


def _stored_dtype(array: np.ndarray) -> np.dtype:
    """A dtype that NIfTI has and that holds the values."""
    if array.dtype.kind == "f":
        return np.dtype(np.float32)
    if array.dtype.kind == "b":
        return np.dtype(np.uint8)
    if array.dtype.kind not in "iu" or not array.size:
        return array.dtype
    low, high = int(array.min()), int(array.max())
    for dtype in (np.uint8, np.int16, np.uint16, np.int32):
        if array.dtype == dtype or np.iinfo(dtype).min <= low <= high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return array.dtype
