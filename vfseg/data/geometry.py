"""Grids: where the voxels of a file lie in the patient, and the canonical view of them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import io_orientation

from vfseg.data.box import Box, triple
from vfseg.data.contradictions import contradictions, mend_quaternion
from vfseg.errors import UserError

_SPACING_LIMITS_MM = (0.01, 50.0)
_SPATIAL_FIELDS = (
    *("dim_info", "pixdim", "xyzt_units", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)


@dataclass(frozen=True, eq=False)
class Geometry:
    """A stored voxel grid and its canonical view.

    Attributes:
        stored_shape: shape in the file; trailing singleton dimensions are kept.
        stored_affine: [4, 4], stored voxel index -> RAS+ mm.
        shape: canonical (d, h, w).
        affine: [4, 4], canonical index (d, h, w) -> RAS+ mm.
        axes: stored axis of d, h and w.
        flips: whether d, h and w run against their stored axis.
        header: spatial part of the NIfTI header, from which files on this grid are written.
        remarks: what its fields say that `stored_affine` does not, see `contradictions`.
    """

    stored_shape: tuple[int, ...]
    stored_affine: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    header: nib.Nifti1Header = field(repr=False)
    remarks: tuple[str, ...] = ()

    @property
    def voxel_spacing(self) -> np.ndarray:
        """Voxel spacing along d, h and w in mm, [3]."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """View of an array in file order as `d h w`."""
        if array.shape != self.stored_shape:
            raise ValueError(f"array {array.shape} is not on the stored grid {self.stored_shape}")
        return np.transpose(array.reshape(self.stored_shape[:3]), self.axes)[self._flip]

    def to_stored(self, array: np.ndarray) -> np.ndarray:
        """View of a `d h w` array in the order of the file."""
        if array.shape != self.shape:
            raise ValueError(f"array {array.shape} is not on the canonical grid {self.shape}")
        stored = np.transpose(array[self._flip], np.argsort(self.axes))
        return stored[(...,) + (None,) * (len(self.stored_shape) - 3)]

    def slabs(self, thickness: int) -> Iterator[Box]:
        """Parts of the `d h w` array in the order in which the file holds them.

        Each is up to `thickness` positions of the slowest stored axis, and whole along the others.
        """
        slowest, count = self.axes.index(2), self.stored_shape[2]
        for first in range(0, count, thickness):
            last = min(first + thickness, count)
            if self.flips[slowest]:
                first, last = count - last, count - first
            part = [slice(0, size) for size in self.shape]
            part[slowest] = slice(first, last)
            d, h, w = part
            yield d, h, w

    def slab_to_stored(self, slab: np.ndarray) -> np.ndarray:
        """View of one of `slabs` in the order of the file, three axes."""
        return np.transpose(slab[self._flip], np.argsort(self.axes))

    def box_to_canonical(
        self, start: Sequence[int], stop: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Half-open box in stored voxel indices as (start, stop) in canonical ones."""
        ends = [(int(start[axis]), int(stop[axis])) for axis in self.axes]
        ends = [
            (size - high, size - low) if flip else (low, high)
            for (low, high), size, flip in zip(ends, self.shape, self.flips)
        ]
        return tuple(low for low, _ in ends), tuple(high for _, high in ends)

    @property
    def _flip(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)


def geometry_from(
    shape_stored: tuple[int, ...], affine_stored: np.ndarray, name: str = "new volume"
) -> Geometry:
    """Geometry of a new volume stored with this shape and affine (RAS+ mm).

    The affine is rounded to float32, as NIfTI keeps it, so that a file reads back identically.
    """
    header = nib.Nifti1Header()
    header.set_data_shape(shape_stored)
    header.set_xyzt_units("mm", "sec")
    header.set_sform(affine_stored, code=1)
    header.set_qform(affine_stored, code=1)
    if not np.allclose(header.get_qform(), affine_stored, atol=1e-3):
        header["qform_code"] = 0  # a quaternion cannot express shear
    return geometry_of_header(header, name)


def geometry_of_header(source: nib.Nifti1Header, name: str) -> Geometry:
    """Checks the spatial part of a header and derives the canonical view.

    Raises:
        UserError: not one 3D volume; damaged; no orientation; an invalid affine or spacing.
    """
    shape = tuple(int(size) for size in source.get_data_shape())
    if len(shape) < 3 or any(size != 1 for size in shape[3:]) or 0 in shape:
        raise UserError(
            f"{name}: shape {shape}, expected one 3D volume. Split a time series or a stack of "
            "channels into single volumes."
        )
    if min(shape) < 0:
        raise UserError(
            f"{name}: shape {shape} in the header, expected sizes above 0: the header is damaged. "
            "Copy, download or export the file again."
        )
    if not (source["sform_code"] > 0 or source["qform_code"] > 0):
        raise UserError(
            f"{name}: no orientation in the header (sform_code and qform_code are 0), so left "
            "and right are not known. Convert the CT again from DICOM, or set the sform."
        )
    header = (nib.Nifti2Header if isinstance(source, nib.Nifti2Header) else nib.Nifti1Header)()
    header.set_data_shape(shape)
    for key in _SPATIAL_FIELDS:
        header[key] = source[key]
    mend_quaternion(header)
    remedy = "Mend the header (pixdim, sform, qform), or convert the CT again from DICOM."
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise UserError(f"{name}: no valid affine ({error}). {remedy}") from error
    if not np.isfinite(affine).all():
        raise UserError(f"{name}: the affine holds NaN or infinity. {remedy}")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = _SPACING_LIMITS_MM
    for values in (np.abs(header["pixdim"][1:4]), spacing):
        if not ((values >= low) & (values <= high)).all():
            raise UserError(
                f"{name}: voxel spacing {tuple(float(f'{v:.4g}') for v in values)} mm, expected "
                f"{low} to {high:g}. {remedy}"
            )
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise UserError(f"{name}: singular affine (two axes run in one direction). {remedy}")
    orientation = io_orientation(affine)  # per stored axis: its RAS axis, its direction
    axes = triple(np.flatnonzero(orientation[:, 0] == ras)[0] for ras in (2, 1, 0))
    d, h, w = (bool(orientation[axis, 1] < 0) for axis in axes)
    flips = d, h, w
    to_stored = np.zeros((4, 4))  # canonical index -> stored index
    to_stored[3, 3] = 1
    for canonical, (axis, flip) in enumerate(zip(axes, flips)):
        to_stored[axis, canonical] = -1 if flip else 1
        to_stored[axis, 3] = shape[axis] - 1 if flip else 0
    canonical_affine = affine @ to_stored
    for matrix in (affine, canonical_affine):
        matrix.setflags(write=False)
    canonical_shape = (shape[axes[0]], shape[axes[1]], shape[axes[2]])
    remarks = tuple(contradictions(header, affine))
    return Geometry(
        *(shape, affine, canonical_shape, canonical_affine),
        *(axes, flips, header, remarks),
    )


def check_same_geometry(a: Geometry, b: Geometry, name_a: str, name_b: str) -> None:
    """Checks that two files lie on one grid: equal canonical shape, corners within 0.1 voxel.

    The order of the axes in the files does not matter: a RAS mask fits an LPS CT of the same grid.

    Raises:
        UserError: they do not; names both, and the shapes or the largest distance of corners in mm.
    """
    remedy = "Resample one onto the grid of the other, or give the file made from this CT."
    if a.shape != b.shape:
        raise UserError(
            f"{name_b} does not lie on the grid of {name_a}: shape {b.shape} against {a.shape} "
            f"(superior, anterior, right). {remedy}"
        )
    corners = np.array(list(itertools.product(*((0, size - 1) for size in a.shape))))
    distance = np.linalg.norm(
        apply_affine(a.affine, corners) - apply_affine(b.affine, corners), axis=1
    ).max()
    if distance > 0.1 * min(a.voxel_spacing.min(), b.voxel_spacing.min()):
        raise UserError(
            f"{name_b} does not lie on the grid of {name_a}: corners up to {distance:.3g} mm "
            f"apart (shapes agree; origin, spacing or orientation differ). {remedy}"
        )
