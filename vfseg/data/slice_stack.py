"""A stack of DICOM slices in space: its grid, or why it is no regular volume."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vfseg.errors import UserError, quantity

_TILT_DEGREES = 0.2  # less than 2 mm in half a metre, and the affine says it exactly
_TOLERANCE = 0.1  # voxels
_COSINE_TOLERANCE = 1e-4
_DUPLICATE_MM = 0.01
_SHOWN = 3
_CONVERT = "Export the series again, or convert it to NIfTI with a tool that corrects this."


def stack_slices(name: str, slices: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Grid of a stack of slices, in order along the normal of their plane.

    With r, c the direction cosines along a row and down a column, p the places of the first pixels
    in order along r x c, and (a, b) the distance between rows and between columns, the affine in
    DICOM's LPS is [b r, a c, (p[n-1] - p[0]) / (n-1), p[0]].

    Args:
        name: of the series, for messages.
        slices: DICOM headers with their plane and their file name.

    Returns:
        The affine, `[column, row, slice]` -> RAS+ mm, [4, 4], and the order of the slices.

    Raises:
        UserError: slices that are missing, doubled, unequally spaced, tilted (gantry), shifted
            sideways, or of mixed orientations, sizes or pixel spacings; names all of it.

    References:
        DICOM PS3.3, C.7.6.2 (Image Plane Module).
    """
    for tag, unit in (("Columns", ""), ("Rows", ""), ("PixelSpacing", " mm")):
        _all_alike(name, tag, [str(h.get(tag)) + unit for h in slices])
    cosines = np.array([h.ImageOrientationPatient for h in slices], float)
    if np.abs(cosines - cosines[0]).max() > _COSINE_TOLERANCE:
        _all_alike(
            name,
            "ImageOrientationPatient (mixed orientations)",
            [str(np.round(c, 3).tolist()) for c in cosines],
        )
        raise UserError(f"{name}: slices of slightly mixed orientations. {_CONVERT}")
    rows, columns = cosines[0, :3], cosines[0, 3:]
    if not np.allclose([rows @ rows, columns @ columns, rows @ columns], [1, 1, 0], atol=1e-3):
        raise UserError(
            f"{name}: ImageOrientationPatient {cosines[0].tolist()} are not two directions at a "
            f"right angle. {_CONVERT}"
        )
    normal = np.cross(rows, columns)
    places = np.array([h.ImagePositionPatient for h in slices], float)
    if not np.isfinite(places).all():
        raise UserError(f"{name}: ImagePositionPatient holds NaN or infinity. {_CONVERT}")
    order = np.argsort(places @ normal, kind="stable")
    slices, places = [slices[int(index)] for index in order], places[order]
    pixel = [float(size) for size in slices[0].PixelSpacing]  # between rows, between columns
    problems = _spacing_problems(slices, places @ normal)
    problems += _shift_problems(slices, places, normal, min(pixel))
    if problems:
        raise UserError("\n  ".join([f"{name}: no regular volume:", *problems]))
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = rows * pixel[1], columns * pixel[0]
    lps[:3, 2] = (places[-1] - places[0]) / (len(slices) - 1)
    lps[:3, 3] = places[0]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, order


def _all_alike(name: str, tag: str, values: list[str]) -> None:
    kinds = {value: values.count(value) for value in values}
    if len(kinds) > 1:
        listed = ", ".join(
            f"{value} ({quantity(count, 'slice')})" for value, count in list(kinds.items())[:5]
        )
        raise UserError(
            f"{name}: slices of different {tag}: {listed}. Put the slices of one volume in a "
            "folder of their own."
        )


def _spacing_problems(slices: Sequence[Any], along: np.ndarray) -> list[str]:
    """Slices that are doubled, missing or unequally spaced, by their place along the normal, mm."""
    names = [Path(header.filename).name for header in slices]
    gaps = np.diff(along)
    doubled = np.flatnonzero(gaps < _DUPLICATE_MM)
    if len(doubled):
        pairs = [(slices[i], slices[i + 1]) for i in doubled.tolist()]
        same = all(one.SOPInstanceUID == other.SOPInstanceUID for one, other in pairs)
        kind = "copies of one image" if same else "two phases or reconstructions in one series?"
        listed = [f"{names[i]} and {names[i + 1]} at {along[i]:.2f} mm" for i in doubled[:_SHOWN]]
        return [
            f"{quantity(len(doubled), 'duplicate slice')} ({kind}): {_some(listed, len(doubled))}. "
            "Keep one slice at each place."
        ]
    grid = np.linspace(along[0], along[-1], len(along))
    step = float(np.median(gaps))
    if np.abs(along - grid).max() <= _TOLERANCE * step:
        return []
    times = np.rint(gaps / step)
    if (times >= 1).all() and (np.abs(gaps / step - times) <= 2 * _TOLERANCE).all():
        listed = [
            f"{times[i] - 1:.0f} between {names[i]} ({along[i]:.2f} mm) and {names[i + 1]} "
            f"({along[i + 1]:.2f} mm)"
            for i in np.flatnonzero(times > 1)
        ]
        if listed:
            missing = quantity(round(times.sum()) - len(times), "missing slice")
            return [
                f"{missing} ({step:.3g} mm apart elsewhere): "
                f"{_some(listed[:_SHOWN], len(listed))}. Copy or export the whole series again."
            ]
    runs = [(gap, len(list(run))) for gap, run in itertools.groupby(np.round(gaps, 2))]
    listed = [f"{count} times {gap:g} mm" for gap, count in runs[:_SHOWN]]
    return [
        f"unequal spacing of the slices, {gaps.min():.3g} to {gaps.max():.3g} mm: "
        f"{_some(listed, len(runs))}. Put each equally spaced part in a folder of its own, or "
        "resample the series."
    ]


def _shift_problems(
    slices: Sequence[Any], places: np.ndarray, normal: np.ndarray, pixel: float
) -> list[str]:
    """A tilted gantry, or slices that do not lie behind one another."""
    offset = places - places[0]
    along = offset @ normal
    if along[-1] < _DUPLICATE_MM:
        return []
    sideways = offset - along[:, None] * normal
    shift = float(np.linalg.norm(sideways[-1]))
    degrees = math.degrees(math.atan2(shift, along[-1]))
    distance = np.linalg.norm(sideways - np.outer(along / along[-1], sideways[-1]), axis=1)
    if distance.max() > _TOLERANCE * pixel:
        name = Path(slices[int(distance.argmax())].filename).name
        return [
            f"slices shifted sideways, {name} by {distance.max():.2f} mm. Put the slices of one "
            "acquisition in a folder of their own."
        ]
    if degrees > _TILT_DEGREES:
        tag = slices[0].get("GantryDetectorTilt")
        tagged = f"; the tag GantryDetectorTilt says {float(tag):g}" if tag is not None else ""
        return [
            f"gantry tilt of {degrees:.1f} degrees: the last slice is shifted by {shift:.1f} mm "
            f"in its plane{tagged}. Correct the tilt (dcm2niix writes a corrected volume) and give "
            "the NIfTI file."
        ]
    return []


def _some(listed: list[str], count: int) -> str:
    more = count - len(listed)
    return "; ".join(listed) + (f"; and {more} more" if more > 0 else "")
