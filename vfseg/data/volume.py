"""Volumes on disk and in memory: NIfTI or DICOM in, canonical arrays, NIfTI out on the same grid.

Canonical arrays are `d h w`: index grows towards superior, anterior and the patient's right. The
affine of a `Geometry` takes a canonical index (d, h, w) to RAS+ world millimetres. A volume goes
out on the grid on which its CT came in: same shape, same affine, same sform and qform codes.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfseg.data.box import Box, part_of
from vfseg.data.dicom import is_series_path, open_series, read_slices
from vfseg.data.geometry import Geometry
from vfseg.data.limits import check_size
from vfseg.data.nifti import Stored, map_int16, nifti_writer, open_nifti, read_slabs, slabs
from vfseg.data.probability import SLOPE, score_bin
from vfseg.errors import UserError


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
    """Geometry of a NIfTI file or DICOM series; reads headers only. Errors as in `read_ct`."""
    return open_series(path).geometry if is_series_path(path) else open_nifti(Path(path))[1]


def ct_files(path: str | os.PathLike) -> tuple[Path, ...]:
    """The files that a CT is read from: itself, or the slices of its DICOM series, in order."""
    return open_series(path).files if is_series_path(path) else (Path(path),)


def read_ct(path: str | os.PathLike) -> Volume:
    """CT in Hounsfield units: slope and intercept applied, rounded and clipped to int16.

    The array of an uncompressed int16 NIfTI file without a slope stays on disk: it is mapped into
    memory, read-only, and only the parts that are looked at are read.

    Args:
        path: NIfTI file, or folder of a DICOM series; where the folder holds several series, also
            '#' and a part of the UID of one of them (see `open_series`).

    Raises:
        UserError: no such file, not NIfTI, truncated, not 3D, zero or absurd spacing, singular or
            absent affine, 8-bit or normalised values, NaN or infinite voxels; for DICOM as in
            `open_series` and `read_slices`.
    """
    parts: Iterator[tuple[slice, np.ndarray]]
    if is_series_path(path):
        series = open_series(path)
        geometry, parts = series.geometry, read_slices(series)
        return _volume(_as_int16(geometry, parts)[0], geometry)
    path = Path(path)
    stored, geometry = open_nifti(path)
    _check_bits(stored)
    flat = map_int16(stored)
    if flat is None:
        flat, low, high = _as_int16(geometry, read_slabs(stored))
        if stored.dtype.kind == "f" and -1 <= low < high <= 1:
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
    stored, geometry = open_nifti(path)
    flat: np.ndarray = np.empty(np.prod(geometry.shape), np.uint8)
    for part, values in read_slabs(stored):
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
    """Probability map as `probability_writer` wrote it, float32 in [0, 1].

    Raises:
        UserError: as in `read_ct`; values outside [0, 1].
    """
    path = Path(path)
    stored, geometry = open_nifti(path)
    check_size(path, stored.count * np.dtype(np.float32).itemsize)  # a file has as few as one byte
    flat = np.empty(stored.count, np.float32)
    for part, values in read_slabs(stored):
        if values.min() < 0 or values.max() > 1:
            raise UserError(
                f"{path}: values from {values.min():g} to {values.max():g} are not probabilities. "
                "Predict the case again."
            )
        flat[part] = values
    return _volume(flat, geometry)


Write = Callable[[np.ndarray], None]
"""Takes the next one of `slabs(geometry)`, `d h w`."""


def probability_writer(
    path: str | os.PathLike, geometry: Geometry, note: str = ""
) -> contextlib.AbstractContextManager[Write]:
    """Writes probabilities in [0, 1] slab by slab, as uint16 with slope 1/65535 (error < 1e-5).

    The function that it yields raises ValueError at NaN or a value outside [0, 1] (beyond
    rounding). Raises UserError where the file cannot be written. `note`: of the header, up to 79
    bytes.
    """

    def encode(values: np.ndarray) -> np.ndarray:
        if not values.any():  # most slabs lie outside every crop
            return np.zeros(values.shape, np.uint16)
        if not (values.min() >= -1e-5 and values.max() <= 1 + 1e-5):  # also false for NaN
            raise ValueError(f"probabilities from {values.min()} to {values.max()}")
        return score_bin(np.clip(values, 0, 1)).astype(np.uint16)

    return nifti_writer(Path(path), geometry, np.dtype(np.uint16), float(SLOPE), encode, note)


def mask_writer(
    path: str | os.PathLike, geometry: Geometry, note: str = ""
) -> contextlib.AbstractContextManager[Write]:
    """Writes a uint8 mask slab by slab. `note`: of the header, up to 79 bytes."""
    return nifti_writer(Path(path), geometry, np.dtype(np.uint8), note=note)


def write_labels(path: str | os.PathLike, array: np.ndarray, geometry: Geometry) -> None:
    """Writes a uint8 or uint16 `d h w` label map. Raises `UserError` where it cannot be written."""
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"labels are uint8 or uint16, not {array.dtype}")
    _write(nifti_writer(Path(path), geometry, np.dtype(array.dtype)), array, geometry)


def write_boxed_labels(
    path: str | os.PathLike, array: np.ndarray, box: Box, geometry: Geometry, note: str = ""
) -> None:
    """Writes a uint16 label map that is 0 outside one box; no more than a slab is made of it.

    Args:
        path: of the file.
        array: uint16, the labels in the box.
        box: of the grid, with starts and stops.
        geometry: of the grid.
        note: of the header, up to 79 bytes.

    Raises:
        UserError: it cannot be written.
    """
    with nifti_writer(Path(path), geometry, np.dtype(np.uint16), note=note) as write:
        for part in slabs(geometry):
            write(part_of(array, box, part))


def write_ct(path: str | os.PathLike, array: np.ndarray, geometry: Geometry) -> None:
    """Writes an int16 `d h w` CT in HU. Raises `UserError` where it cannot be written."""
    if array.dtype != np.int16:
        raise ValueError(f"a CT is int16, not {array.dtype}")
    _write(nifti_writer(Path(path), geometry, np.dtype(np.int16)), array, geometry)


def _write(
    writer: contextlib.AbstractContextManager[Write], array: np.ndarray, geometry: Geometry
) -> None:
    if array.shape != geometry.shape:
        raise ValueError(f"array {array.shape} is not on the canonical grid {geometry.shape}")
    with writer as write:
        for part in slabs(geometry):
            write(array[part])


def _check_bits(stored: Stored) -> None:
    if stored.dtype.itemsize == 1:
        raise UserError(
            f"{stored.path}: stored as {stored.dtype}, whose 256 values cannot hold Hounsfield "
            "units (an image windowed for display, or a label map?). Give the CT as exported "
            "from the scanner, as int16 or float."
        )


def _as_int16(
    geometry: Geometry, parts: Iterator[tuple[slice, np.ndarray]]
) -> tuple[np.ndarray, float, float]:
    """Flat array in the order of the file, lowest and highest value before clipping."""
    flat = np.empty(np.prod(geometry.shape), np.int16)
    low, high = np.inf, -np.inf
    for part, values in parts:
        low, high = min(low, values.min()), max(high, values.max())
        if high > 32767:
            values = np.minimum(values, 32767)
        if low < -32768:
            values = np.maximum(values, -32768)
        flat[part] = np.rint(values) if values.dtype.kind == "f" else values
    return flat, float(low), float(high)


def _volume(flat: np.ndarray, geometry: Geometry) -> Volume:
    stored = flat.reshape(geometry.stored_shape, order="F")
    return Volume(geometry.to_canonical(stored), geometry)
