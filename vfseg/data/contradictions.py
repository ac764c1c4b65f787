"""What a NIfTI header says twice: sform and qform, spacing in both and in pixdim, the unit."""

import itertools
from collections.abc import Iterator

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

_TOLERANCE = 0.1  # voxels, at the corners of the volume: what `check_same_geometry` allows, too
_EXACT = 3 * float(np.finfo(np.float32).eps)  # what nibabel takes for a length of 1
_ROUNDING = 1e-3  # what four decimal places make of it
_MM_OR_NONE = (0, 2)
_OTHER_UNITS = {1: ("metres", 1000.0), 3: ("micrometres", 0.001)}


def mend_quaternion(header: nib.Nifti1Header) -> None:
    """Shortens a quaternion that rounding made longer than 1, so that it is a rotation again.

    Its scalar part is not stored: it is what the other three leave of the length 1.
    """
    names = ("quatern_b", "quatern_c", "quatern_d")
    vector = np.array([float(header[name]) for name in names])
    excess = float(vector @ vector) - 1
    if _EXACT < excess <= _ROUNDING:
        for name, value in zip(names, vector / np.sqrt(1 + excess)):
            header[name] = value


def contradictions(header: nib.Nifti1Header, affine: np.ndarray) -> Iterator[str]:
    """What the fields of a header say that the affine which is used does not, in mm.

    Args:
        header: spatial part.
        affine: [4, 4], the one that counts: the sform, or else the qform.
    """
    sizes = np.array(header.get_data_shape()[:3])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    counts = "sform" if header["sform_code"] > 0 else "qform"
    if header["sform_code"] > 0 and header["qform_code"] > 0:
        apart = _corner_distance(header, affine, sizes)
        if apart is None:
            yield "the qform is no rotation; the sform counts"
        elif not apart <= _TOLERANCE * spacing.min():
            yield f"sform and qform put corners up to {apart:.3g} mm apart; the sform counts"
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], float))
    longer = np.abs(pixdim - spacing) * (sizes - 1)
    if (longer > _TOLERANCE * spacing).any():
        yield (
            f"voxels of {_sizes(pixdim)} mm by pixdim, of {_sizes(spacing)} mm by the {counts}: "
            f"sides of the volume differ by up to {longer.max():.3g} mm; the {counts} counts"
        )
    code = int(header["xyzt_units"]) % 8
    if code in _OTHER_UNITS:
        unit, in_mm = _OTHER_UNITS[code]
        yield (
            f"the unit of length is {unit} by xyzt_units, so that voxels would be "
            f"{_sizes(spacing * in_mm)} mm; mm are assumed"
        )
    elif code not in _MM_OR_NONE:
        yield f"the unit of length is unknown ({code}) by xyzt_units; mm are assumed"


def _corner_distance(
    header: nib.Nifti1Header, affine: np.ndarray, sizes: np.ndarray
) -> float | None:
    """How far apart the qform puts the corners of the volume, mm; None where it is no rotation."""
    try:
        other = header.get_qform()
    except (ValueError, nib.spatialimages.HeaderDataError):
        return None
    corners = np.array(list(itertools.product((0, 1), repeat=3))) * (sizes - 1)
    between = apply_affine(affine, corners) - apply_affine(other, corners)
    return float(np.linalg.norm(between, axis=1).max())


def _sizes(values: np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
