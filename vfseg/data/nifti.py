"""NIfTI files: header checks, voxels in slabs, and writing on the grid of another file.

Voxels are read and written in slabs of a few MiB, so the peak is the array itself plus a slab.
"""

import contextlib
import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from vfseg.data.box import Box
from vfseg.data.dicom_file import is_dicom_file
from vfseg.data.geometry import Geometry, geometry_of_header
from vfseg.errors import UserError
from vfseg.files import atomic_file

SLAB_VOXELS = 4 * 2**20
_DEFLATE_RATIO = 1032  # what deflate makes of zeros; no file holds more
_UNREADABLE = (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError)
_TRUNCATED = (EOFError, zlib.error, gzip.BadGzipFile)


@contextlib.contextmanager
def nifti_writer(
    path: Path,
    geometry: Geometry,
    dtype: np.dtype,
    slope: float = 1.0,
    encode: Callable[[np.ndarray], np.ndarray] = lambda values: values,
    note: str = "",
) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes a volume slab by slab; gzip unless named `.nii`.

    Yields a function that takes the next one of `slabs(geometry)`, `d h w`, and writes what
    `encode` makes of it. The file appears once all are written; not at all where something fails.

    Args:
        path: of the file.
        geometry: grid to write it on.
        dtype: as stored.
        slope: of the header.
        encode: from values to stored ones.
        note: in place of the header's description, up to 79 bytes.

    Raises:
        UserError: the file cannot be written.
    """
    header = geometry.header.copy()
    header.set_data_dtype(dtype)
    header.set_slope_inter(slope, 0)
    if note:
        header["descrip"] = note.encode()[:79]
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(atomic_file(path))
        if path.suffix != ".nii":  # no name and no time inside: equal volumes, equal files
            file = stack.enter_context(
                gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0)  # type: ignore
            )
        file.write(header.binaryblock.ljust(header.single_vox_offset, b"\0"))

        def write(slab: np.ndarray) -> None:
            file.write(encode(geometry.slab_to_stored(slab)).tobytes(order="F"))

        yield write


def slabs(geometry: Geometry) -> list[Box]:
    """Parts of a `d h w` volume, a few MiB each, in the order in which its file holds them."""
    in_plane = geometry.stored_shape[0] * geometry.stored_shape[1]
    return list(geometry.slabs(max(1, SLAB_VOXELS // max(1, in_plane))))


def open_nifti(path: Path) -> tuple[Any, Geometry]:
    """Image (nibabel) and its geometry; the voxels stay on disk.

    Raises:
        UserError: no such file, not NIfTI in one file, voxels that are no numbers, a file too short
            for its voxels; or as in `geometry_of_header`.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Give one NIfTI file (.nii or .nii.gz).")
    if not path.exists():
        raise UserError(f"{path}: no such file. Check the path.")
    if is_dicom_file(path):
        raise UserError(f"{path}: one DICOM slice. Give the folder of the series.")
    try:
        with nib.openers.Opener(str(path)) as file:
            start = file.read(2**16)
        image: Any = nib.load(path)
    except (EOFError, zlib.error) as error:
        raise _truncated(path) from error
    except PermissionError as error:
        raise UserError(f"{path}: no permission to read it. Change its permissions.") from error
    except (*_UNREADABLE, ValueError, OverflowError, OSError) as e:  # a vox_offset of NaN
        raise UserError(
            f"{path}: not a NIfTI file that can be read ({e}). Convert the CT to NIfTI, for "
            "instance with dcm2niix or 3D Slicer."
        ) from e
    kind, dtype = type(image), image.dataobj.dtype
    if kind not in (nib.Nifti1Image, nib.Nifti2Image):
        raise UserError(f"{path}: {kind.__name__}, not NIfTI in one file. Convert it to .nii.gz.")
    if dtype.kind not in "iuf":
        raise UserError(
            f"{path}: voxels of type {dtype}, expected one number a voxel. Export a grey-value "
            "volume."
        )
    raw = image.header_class(start[: image.header_class.sizeof_hdr], check=False)
    if not raw["pixdim"][1:4].all():  # on loading, nibabel turns a spacing of 0 into 1
        raise UserError(
            f"{path}: voxel spacing of 0 in the header (pixdim). Mend the header, or convert the "
            "CT again from DICOM."
        )
    geometry = geometry_of_header(image.header, str(path))
    _check_size(path, image)
    return image, geometry


def _check_size(path: Path, image: Any) -> None:
    """Refuses a file that cannot hold what its header says, before memory is taken for it."""
    offset, itemsize = int(image.dataobj.offset), image.dataobj.dtype.itemsize
    if offset < 0:
        raise _truncated(path)
    ratio = {".nii": 1, ".gz": _DEFLATE_RATIO}.get(path.suffix.lower())
    needed = offset + math.prod(image.dataobj.shape) * itemsize
    if ratio and path.stat().st_size * ratio < needed:
        raise _truncated(path)


def map_int16(path: Path, image: Any) -> np.ndarray | None:
    """Voxels in file order, mapped read-only; None unless the file is plain int16 without a slope.

    `open_nifti` has seen that the file is as long as its header says.
    """
    proxy = image.dataobj
    if path.suffix != ".nii" or proxy.dtype != np.int16 or (proxy.slope, proxy.inter) != (1, 0):
        return None
    total = int(np.prod(proxy.shape))
    return np.memmap(path, np.int16, "r", proxy.offset, total).view(np.ndarray)


def read_slabs(path: Path, image: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Voxels in file order, a slab at a time: flat index range and values, slope applied.

    Integers without a slope keep their type; everything else is float32.
    """
    proxy = image.dataobj
    total = int(np.prod(proxy.shape))
    try:
        with image.file_map["image"].get_prepare_fileobj("rb") as file:
            file.seek(proxy.offset)
            for first in range(0, total, SLAB_VOXELS):
                part = slice(first, min(first + SLAB_VOXELS, total))
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
