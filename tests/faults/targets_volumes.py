"""Readers of volumes, to be tried: NIfTI in every packing, and one slice of a DICOM series."""

import bz2
import gzip
import io
import shutil
import tempfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.data.dicom_series import jpeg_series, make_slices, series_affine, volume
from tests.faults.attempts import Target
from tests.faults.dicom_mutations import FORMS, PIXELS, encoded, file_of, parts_of
from vfseg.data.nifti import description
from vfseg.data.volume import read_ct, read_labels, read_probability
from vfseg.errors import UserError


def nifti(folder: Path) -> Target:
    """Not packed: the header, and what it says of the voxels."""
    return _nifti(folder / "ct.nii")


def nifti_gz(folder: Path) -> Target:
    """The same, packed after it was changed."""
    target = _nifti(folder / "ct.nii.gz")
    target.dress = lambda data: gzip.compress(data, 1, mtime=0)
    return target


def packed(folder: Path) -> Target:
    """Changed after it was packed."""
    target = _nifti(folder / "ct.nii.gz")
    plain = target.seeds[0]
    target.seeds = [gzip.compress(plain), bz2.compress(plain), gzip.compress(plain, 0)]
    return target


def _nifti(path: Path) -> Target:
    array = (np.arange(60).reshape(3, 4, 5) % 2).astype(np.int16)
    kinds = [nib.Nifti1Image(array, np.eye(4)), nib.Nifti2Image(array, np.eye(4))]
    kinds += [nib.Nifti1Image(array.astype(kind), np.eye(4)) for kind in (np.uint8, np.float64)]

    def read() -> None:
        refused = []
        for reader in (read_ct, read_labels, read_probability, description):
            try:
                reader(path)
            except UserError as error:
                refused.append(error)
        if len(refused) == 3:
            raise refused[0]

    return Target(path, read, [kind.to_bytes() for kind in kinds])


SLICES = 4


def dicom(folder: Path) -> Target:
    """The last slice of a series, in the forms in which files come."""
    slices = _series(folder)
    seeds = [file_of(parts_of(slices[-1]), slices[-1], form) for form in FORMS[1:4]]
    codes = make_slices(volume((6, 5, SLICES)), series_affine(), "1.2.3")[-1]
    codes.compress("1.2.840.10008.1.2.5")
    parts = parts_of(codes)
    parts[-1] = [PIXELS, b"OB", codes.PixelData + b"\xfe\xff\xdd\xe0\0\0\0\0", 2**32 - 1]
    seeds.append(file_of(parts, codes, "run lengths"))
    path = folder / f"{SLICES - 1}.dcm"
    return Target(path, lambda: read_ct(folder), seeds)


def dicom_jpeg(folder: Path) -> Target:
    """The codes of its pixels, as JPEG: what decodes them may end its process."""
    return _jpeg(folder, "JPEGLosslessProcess14_1")


def dicom_jpeg_ls(folder: Path) -> Target:
    """The same, as JPEG-LS."""
    return _jpeg(folder, "JPEGLSLossless")


def _jpeg(folder: Path, kind: str) -> Target:
    with tempfile.TemporaryDirectory() as place:
        packed, _ = jpeg_series(Path(place), kind, (16, 16, SLICES))
        shutil.copytree(packed, folder, dirs_exist_ok=True)
    path = sorted(folder.iterdir())[-1]
    data = pydicom.dcmread(path)

    def dress(codes: bytes) -> bytes:
        data.PixelData, stream = encapsulate([codes.ljust(2, b"\0")]), io.BytesIO()
        data.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    codes = next(generate_frames(data.PixelData, number_of_frames=1))
    return Target(path, lambda: read_ct(folder), [codes], dress)


def dicom_deflated(folder: Path) -> Target:
    """The same, deflated after its elements were changed."""
    last = _series(folder)[-1]
    last.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = file_of([], last, "deflated")
    empty = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()

    def dress(data: bytes) -> bytes:
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        return head.removesuffix(empty) + packer.compress(data) + packer.flush()

    path = folder / f"{SLICES - 1}.dcm"
    return Target(path, lambda: read_ct(folder), [encoded(parts_of(last))], dress)


def _series(folder: Path) -> list:
    slices = make_slices(volume((6, 5, SLICES)), series_affine(), "1.2.3")
    for index, data in enumerate(slices[:-1]):
        data.save_as(folder / f"{index}.dcm", enforce_file_format=True)
    return slices
