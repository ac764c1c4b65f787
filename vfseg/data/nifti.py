"""NIfTI files: header checks, voxels in slabs, and writing on the grid of another file.

Voxels are read and written in slabs of a few MiB, so the peak is the array itself plus a slab.
"""

import contextlib
import gzip
import logging
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from vfseg.data.box import Box
from vfseg.data.dicom_file import is_dicom_file
from vfseg.data.geometry import Geometry, geometry_of_header
from vfseg.data.limits import check_size
from vfseg.data.packing import DAMAGE, can_hold, open_unpacked, packing, read_to_end
from vfseg.errors import UserError
from vfseg.files import atomic_file

SLAB_VOXELS = 4 * 2**20
_LONGEST_HEADER = 540  # of NIfTI-2
_UNHEARD = logging.Logger("nibabel, when it mends a header")
_UNHEARD.addHandler(logging.NullHandler())
_UNREADABLE = (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError)


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


@dataclass(frozen=True)
class Stored:
    """Where and how a file holds its voxels.

    Attributes:
        path: of the file.
        packing: how it is compressed, see `vfseg.data.packing`.
        dtype: of a voxel, byte order included.
        count: of voxels.
        offset: of the first one, bytes of the unpacked file.
        slope, inter: a value is slope * stored + inter.
    """

    path: Path
    packing: str
    dtype: np.dtype
    count: int
    offset: int
    slope: float
    inter: float

    @property
    def is_scaled(self) -> bool:
        """Whether stored numbers are not the values."""
        return (self.slope, self.inter) != (1, 0)


def open_nifti(path: Path) -> tuple[Stored, Geometry]:
    """How a file holds its voxels, and its geometry; the voxels stay on disk.

    Whether it is compressed is told by its first bytes: files named .nii.gz that are not, and
    files named .nii that are, are read as what they are.

    Raises:
        UserError: no such file, a pipe or a device, not NIfTI in one file, voxels that are no
            numbers, a file too short for its voxels, more voxels than `check_size` allows; or as
            in `geometry_of_header`.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Give one NIfTI file (.nii or .nii.gz).")
    if not path.exists():
        raise UserError(f"{path}: no such file. Check the path.")
    try:
        kind = packing(path)
        if is_dicom_file(path):
            raise UserError(f"{path}: one DICOM slice. Give the folder of the series.")
        with open_unpacked(path, kind) as file:
            start = file.read(_LONGEST_HEADER)
        header, raw = _headers(path, start)
        stored = _stored(path, kind, header)
    except DAMAGE as error:
        raise _truncated(path) from error
    except PermissionError as error:
        raise UserError(f"{path}: no permission to read it. Change its permissions.") from error
    except (*_UNREADABLE, ValueError, OverflowError, OSError) as e:  # a vox_offset of NaN
        raise UserError(
            f"{path}: not a NIfTI file that can be read ({e}). Convert the CT to NIfTI, for "
            "instance with dcm2niix or 3D Slicer."
        ) from e
    if stored.dtype.kind not in "iuf":
        raise UserError(
            f"{path}: voxels of type {stored.dtype}, expected one number a voxel. Export a "
            "grey-value volume."
        )
    if not raw["pixdim"][1:4].all():  # on loading, nibabel turns a spacing of 0 into 1
        raise UserError(
            f"{path}: voxel spacing of 0 in the header (pixdim). Mend the header, or convert the "
            "CT again from DICOM."
        )
    geometry = geometry_of_header(header, str(path))
    promised = stored.offset + stored.count * stored.dtype.itemsize
    if stored.offset < 0 or not can_hold(path, kind, promised):
        raise _truncated(path)
    check_size(path, promised)
    return stored, geometry


def description(path: Path) -> str:
    """What the header of a NIfTI file says of it; "" where that is nothing, or it is none."""
    try:
        with open_unpacked(path, packing(path)) as file:
            _, raw = _headers(path, file.read(_LONGEST_HEADER))
    except (UserError, *DAMAGE, *_UNREADABLE, ValueError, OSError):
        return ""
    return bytes(raw["descrip"]).rstrip(b"\0").decode(errors="replace")


def _headers(path: Path, start: bytes) -> tuple[Any, Any]:
    """The header as nibabel mends it, and as it stands in the file."""
    classes = [
        kind for kind in (nib.Nifti1Header, nib.Nifti2Header) if kind.may_contain_header(start)
    ]
    if not classes:
        raise ValueError("the header is not NIfTI")
    (kind,) = classes
    block = start[: kind.sizeof_hdr]
    header = kind(block, check=False)
    header.check_fix(logger=_UNHEARD)  # what matters of it is said by `geometry_of_header`
    if not header.is_single:
        raise UserError(
            f"{path}: the header of a pair of files, not NIfTI in one file. Convert it to .nii.gz."
        )
    return header, kind(block, check=False)


def _stored(path: Path, kind: str, header: Any) -> Stored:
    slope, inter = header.get_slope_inter()
    return Stored(
        path,
        kind,
        header.get_data_dtype(),
        math.prod(int(size) for size in header.get_data_shape()),
        int(header.get_data_offset()),
        1.0 if slope is None else float(slope),
        0.0 if inter is None else float(inter),
    )


def map_int16(stored: Stored) -> np.ndarray | None:
    """Voxels in file order, mapped read-only; None unless the file is plain int16 without a slope.

    `open_nifti` has seen that the file is as long as its header says.
    """
    if stored.packing or stored.dtype != np.int16 or stored.is_scaled:
        return None
    mapped = np.memmap(stored.path, np.int16, "r", stored.offset, stored.count)
    return mapped.view(np.ndarray)


def read_slabs(stored: Stored) -> Iterator[tuple[slice, np.ndarray]]:
    """Voxels in file order, a slab at a time: flat index range and values, slope applied.

    Integers without a slope keep their type; everything else is float32. No more is unpacked than
    the header promises; a compressed file is then followed to its end, where its sum is checked.
    While one slab is looked at, a thread unpacks the next one.

    Raises:
        UserError: cut short, damaged, or longer than its header says; NaN or infinite values.
    """
    found = _unpacked_slabs(stored)
    if stored.count <= SLAB_VOXELS:
        yield from found
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, found, None)
        while (slab := coming.result()) is not None:
            coming = pool.submit(next, found, None)
            yield slab


def _unpacked_slabs(stored: Stored) -> Iterator[tuple[slice, np.ndarray]]:
    """What `read_slabs` gives, one after the other."""
    path, dtype = stored.path, stored.dtype
    try:
        with open_unpacked(path, stored.packing) as file:
            file.seek(stored.offset)
            for first in range(0, stored.count, SLAB_VOXELS):
                part = slice(first, min(first + SLAB_VOXELS, stored.count))
                size = (part.stop - part.start) * dtype.itemsize
                data = file.read(size)
                if len(data) < size:
                    raise _truncated(path)
                yield part, _scaled(stored, np.frombuffer(data, dtype))
            if stored.packing:
                read_to_end(path, file)
    except DAMAGE as error:
        raise _truncated(path) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}). Copy the file again.") from error


def _scaled(stored: Stored, raw: np.ndarray) -> np.ndarray:
    if raw.dtype.kind != "f" and not stored.is_scaled:
        return raw
    with np.errstate(over="ignore"):
        values = raw.astype(np.float32)
        values *= np.float32(stored.slope)
        values += np.float32(stored.inter)
    if not np.isfinite(values).all():
        raise UserError(
            f"{stored.path}: NaN or infinite voxels. Replace them (in a CT by -1024, the value of "
            "air) and save the file again."
        )
    return values


def _truncated(path: Path) -> UserError:
    return UserError(f"{path}: damaged or cut short. Copy, download or export the file again.")
