"""Volumes on disk and in memory: NIfTI in, canonical arrays, NIfTI out in the same geometry.

Canonical arrays are `d h w`: index grows towards superior, anterior and the patient's right. The
affine of a `Geometry` takes a canonical index (d, h, w) to RAS+ world millimetres. A volume goes
out on the grid on which its CT came in: same shape, same affine, same sform and qform codes.

Voxels are read and written in slabs of a few MiB, so the peak is the array itself plus a slab.
"""

import contextlib
import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np

from vfseg.data.geometry import (
    Geometry,
    check_same_geometry,
    geometry_from,
    geometry_of_header,
)
from vfseg.errors import UserError

__all__ = [
    "Geometry",
    "Volume",
    "atomic_file",
    "check_same_geometry",
    "geometry_from",
    "read_ct",
    "read_geometry",
    "read_labels",
    "read_probability",
    "write_ct",
    "write_labels",
    "write_probability",
]

_SLAB_VOXELS = 4 * 2**20
_TRUNCATED = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, eq=False)
class Volume:
    """A `d h w` array with the grid it lies on."""

    array: np.ndarray
    geometry: Geometry

    def __post_init__(self):
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array {self.array.shape} on a grid of {self.geometry.shape}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Canonical (d, h, w)."""
        return self.geometry.shape

    @property
    def affine(self) -> np.ndarray:
        """[4, 4], canonical index (d, h, w) -> RAS+ mm."""
        return self.geometry.affine

    @property
    def voxel_spacing(self) -> np.ndarray:
        """Voxel spacing along d, h and w in mm, [3]."""
        return self.geometry.voxel_spacing


def read_geometry(path: str | os.PathLike) -> Geometry:
    """Geometry of a NIfTI file; reads the header only. Errors as in `read_ct`."""
    return _open(Path(path))[1]


def read_ct(path: str | os.PathLike) -> Volume:
    """CT in Hounsfield units: slope and intercept applied, rounded and clipped to int16.

    Raises:
        UserError: no such file, not NIfTI, truncated, not 3D, zero or absurd spacing, singular or
            absent affine, 8-bit or normalised values, NaN or infinite voxels.
    """
    path = Path(path)
    image, geometry = _open(path)
    if image.dataobj.dtype.itemsize == 1:
        raise UserError(
            f"{path}: stored as {image.dataobj.dtype}, whose 256 values cannot hold Hounsfield "
            "units (an image windowed for display, or a label map?). Give the CT as exported "
            "from the scanner, as int16 or float."
        )
    flat = np.empty(np.prod(geometry.shape), np.int16)
    low, high = np.inf, -np.inf
    for part, values in _slabs(path, image):
        low, high = min(low, values.min()), max(high, values.max())
        if high > 32767:
            values = np.minimum(values, 32767)
        if low < -32768:
            values = np.maximum(values, -32768)
        flat[part] = np.rint(values) if values.dtype.kind == "f" else values
    if image.dataobj.dtype.kind == "f" and -1 <= low < high <= 1:
        raise UserError(
            f"{path}: values from {low:g} to {high:g} are not Hounsfield units (normalised?). "
            "Give the CT as exported from the scanner: air near -1000, water near 0."
        )
    return _volume(flat, geometry)


def read_labels(path: str | os.PathLike) -> Volume:
    """Label map as uint8, or as uint16 where a label exceeds 255.

    Floating-point files are accepted where every voxel is a whole number (to 0.001).

    Raises:
        UserError: as in `read_ct`; labels that are fractional, negative or above 65535.
    """
    path = Path(path)
    image, geometry = _open(path)
    flat: np.ndarray = np.empty(np.prod(geometry.shape), np.uint8)
    for part, values in _slabs(path, image):
        if values.dtype.kind == "f":
            whole = np.rint(values)
            if np.abs(values - whole).max() > 1e-3:
                worst = values[np.argmax(np.abs(values - whole))]
                raise UserError(
                    f"{path}: a label map holds whole numbers, found {worst:g} (a probability "
                    "map, or resampled with interpolation?). Export the labels as integers, and "
                    "resample them with nearest neighbour."
                )
            values = whole
        low, high = values.min(), values.max()
        if low < 0 or high > 65535:
            raise UserError(
                f"{path}: labels from {low:g} to {high:g}, expected 0 to 65535 (a CT given as a "
                "label map?). Give the label map of this CT."
            )
        if high > 255 and flat.dtype == np.uint8:
            flat = flat.astype(np.uint16)
        flat[part] = values
    return _volume(flat, geometry)


def read_probability(path: str | os.PathLike) -> Volume:
    """Probability map as `write_probability` wrote it, float32 in [0, 1].

    Raises:
        UserError: as in `read_ct`; values outside [0, 1].
    """
    path = Path(path)
    image, geometry = _open(path)
    flat = np.empty(np.prod(geometry.shape), np.float32)
    for part, values in _slabs(path, image):
        if values.min() < 0 or values.max() > 1:
            raise UserError(
                f"{path}: values from {values.min():g} to {values.max():g} are not probabilities. "
                "Predict the case again."
            )
        flat[part] = values
    return _volume(flat, geometry)


def write_probability(path: str | os.PathLike, array: np.ndarray, geometry: Geometry) -> None:
    """Write probabilities in [0, 1], `d h w`, as uint16 with slope 1/65535 (error < 1e-5).

    Raises:
        ValueError: a value outside [0, 1] (beyond rounding), or NaN.
        UserError: the file cannot be written.
    """

    def encode(values: np.ndarray) -> np.ndarray:
        if not values.any():  # most slabs lie outside every crop
            return np.zeros(values.shape, np.uint16)
        if not (values.min() >= -1e-5 and values.max() <= 1 + 1e-5):  # also false for NaN
            raise ValueError(f"probabilities from {values.min()} to {values.max()}")
        return np.rint(np.clip(values, 0, 1) * np.float32(65535)).astype(np.uint16)

    # One step below float32(1/65535), so that no reader sees a probability above 1.
    slope = float(np.nextafter(np.float32(1 / 65535), np.float32(0)))
    _write(Path(path), array, geometry, np.dtype(np.uint16), slope, encode)


def write_labels(path: str | os.PathLike, array: np.ndarray, geometry: Geometry) -> None:
    """Write a uint8 or uint16 `d h w` label map. Raises `UserError` where it cannot be written."""
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"labels are uint8 or uint16, not {array.dtype}")
    _write(Path(path), array, geometry, np.dtype(array.dtype))


def write_ct(path: str | os.PathLike, array: np.ndarray, geometry: Geometry) -> None:
    """Write an int16 `d h w` CT in HU. Raises `UserError` where it cannot be written."""
    if array.dtype != np.int16:
        raise ValueError(f"a CT is int16, not {array.dtype}")
    _write(Path(path), array, geometry, np.dtype(np.int16))


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing so that it appears complete or not at all.

    Makes the folder where it is missing. Raises `UserError` where the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}). Choose a folder that can be "
            "written to and has space left."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _write(
    path: Path,
    array: np.ndarray,
    geometry: Geometry,
    dtype: np.dtype,
    slope: float = 1.0,
    encode: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> None:
    """Write `encode(array)` in file order, slab by slab; gzip level 1 unless named `.nii`."""
    stored = geometry.to_stored(np.asarray(array)).reshape(geometry.stored_shape[:3])
    header = geometry.header.copy()
    header.set_data_dtype(dtype)
    header.set_slope_inter(slope, 0)
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    thickness = max(1, _SLAB_VOXELS // max(1, stored.shape[0] * stored.shape[1]))
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(atomic_file(path))
        if path.suffix != ".nii":  # no name and no time inside: equal volumes, equal files
            file = stack.enter_context(
                gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0)  # type: ignore
            )
        file.write(header.binaryblock.ljust(header.single_vox_offset, b"\0"))
        for first in range(0, stored.shape[2], thickness):
            file.write(encode(stored[:, :, first : first + thickness]).tobytes(order="F"))


def _open(path: Path) -> tuple[Any, Geometry]:
    """Read the header; the voxels stay on disk."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Give one NIfTI file (.nii or .nii.gz).")
    if not path.exists():
        raise UserError(f"{path}: no such file. Check the path.")
    try:
        with nib.openers.Opener(str(path)) as file:
            start = file.read(2**16)
        image: Any = nib.load(path)
    except (EOFError, zlib.error) as error:
        raise _truncated(path) from error
    except PermissionError as error:
        raise UserError(f"{path}: may not be read. Change its permissions.") from error
    except (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, OSError) as e:
        raise UserError(
            f"{path}: not a NIfTI file that can be read ({e}). Convert the CT to NIfTI, for "
            "instance with dcm2niix or 3D Slicer."
        ) from e
    kind, dtype = type(image), image.dataobj.dtype
    if kind not in (nib.Nifti1Image, nib.Nifti2Image):
        raise UserError(f"{path}: {kind.__name__}, not NIfTI in one file. Convert it to .nii.gz.")
    if dtype.kind not in "iuf":
        raise UserError(
            f"{path}: voxels of type {dtype}, expected one number a voxel. Export it as a "
            "grey-value volume."
        )
    raw = image.header_class(start[: image.header_class.sizeof_hdr], check=False)
    if not raw["pixdim"][1:4].all():  # on loading, nibabel turns a spacing of 0 into 1
        raise UserError(
            f"{path}: voxel spacing of 0 in the header (pixdim). Mend the header, or convert the "
            "CT again from DICOM."
        )
    return image, geometry_of_header(image.header, str(path))


def _volume(flat: np.ndarray, geometry: Geometry) -> Volume:
    stored = flat.reshape(geometry.stored_shape, order="F")
    return Volume(geometry.to_canonical(stored), geometry)


def _slabs(path: Path, image: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Voxels in file order, a slab at a time: flat index range and values, slope applied.

    Integers without a slope keep their type; everything else is float32.
    """
    proxy = image.dataobj
    total = int(np.prod(proxy.shape))
    try:
        with image.file_map["image"].get_prepare_fileobj("rb") as file:
            file.seek(proxy.offset)
            for first in range(0, total, _SLAB_VOXELS):
                part = slice(first, min(first + _SLAB_VOXELS, total))
                size = (part.stop - part.start) * proxy.dtype.itemsize
                data = file.read(size)
                if len(data) < size:
                    raise _truncated(path)
                yield part, _scaled(path, np.frombuffer(data, proxy.dtype), proxy)
            file.read(1)  # makes gzip check its sum
    except _TRUNCATED as error:
        raise _truncated(path) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}). Copy the file again.") from error


def _scaled(path: Path, raw: np.ndarray, proxy) -> np.ndarray:
    if raw.dtype.kind != "f" and proxy.slope == 1 and proxy.inter == 0:
        return raw
    with np.errstate(over="ignore"):
        values = raw.astype(np.float32)
        values *= np.float32(proxy.slope)
        values += np.float32(proxy.inter)
    if not np.isfinite(values).all():
        raise UserError(
            f"{path}: NaN or infinite voxels. Replace them (in a CT by -1024, the value of air) "
            "and save the file again."
        )
    return values


def _truncated(path: Path) -> UserError:
    return UserError(f"{path}: damaged or cut short. Copy, download or export the file again.")
