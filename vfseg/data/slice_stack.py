"""A stack of DICOM slices in space: its grid, or why it is no regular volume."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vfseg.data.dicom_slice import Slice
from vfseg.errors import UserError, quantity

_TILT_DEGREES = 0.2  # less than 2 mm in half a metre, and the affine says it exactly
_TOLERANCE = 0.1  # voxels
_ANGLE_TOLERANCE = 1e-3
_DUPLICATE_MM = 0.01
_SHOWN = 3
_MOST_ODD = 3  # slices that may be left out of a stack, being damaged or unlike the others
_CONVERT = "Export the series again, or convert it to NIfTI with a tool that corrects this."
_PLANE_TAGS = {"PixelSpacing": "spacing", "ImageOrientationPatient": "orientation"}


def is_few(odd: int, others: int) -> bool:
    """Whether so many slices may be left out of a series of which the others are sound."""
    return odd <= _MOST_ODD and odd < others


def stack_slices(
    name: str, slices: Sequence[Slice], left_out: Sequence[str]
) -> tuple[np.ndarray, list[Slice], list[str]]:
    """Grid of a stack of slices, in order along the normal of their plane.

    With r, c the direction cosines along a row and down a column, p the places of the first pixels
    in order along r x c, and (a, b) the distance between rows and between columns, the affine in
    DICOM's LPS is [b r, a c, (p[n-1] - p[0]) / (n-1), p[0]]. Of r, c, a and b it is the median: the
    slices may differ in them by 0.1 voxel at their corners. A few that differ by more are left out.

    Args:
        name: of the series, for messages.
        slices: two or more, without other kinds and faults.
        left_out: what has been left out of the series before, and why.

    Returns:
        The affine, `[column, row, slice]` -> RAS+ mm, [4, 4], the slices in order, and what has
        been left out in all.

    Raises:
        UserError: slices that are missing, doubled, unequally spaced, tilted (gantry), shifted
            sideways, or of mixed orientations, sizes or pixel spacings; names all of it.

    References:
        DICOM PS3.3, C.7.6.2 (Image Plane Module).
    """
    slices, odd = _alike(name, slices)
    left_out = [*left_out, *odd]
    rows, columns, pixel = _plane(slices)
    size = max(slices[0].rows, slices[0].columns)
    gram = [rows @ rows, columns @ columns, rows @ columns]
    if not np.allclose(gram, [1, 1, 0], atol=max(_ANGLE_TOLERANCE, _TOLERANCE / size)):
        raise UserError(
            f"{name}: ImageOrientationPatient {[*rows.tolist(), *columns.tolist()]} are not two "
            f"directions at a right angle. {_CONVERT}"
        )
    normal = np.cross(rows, columns)
    places = np.array([header.position for header in slices])
    order = np.argsort(places @ normal, kind="stable")
    slices, places = [slices[int(index)] for index in order], places[order]
    problems = _spacing_problems(slices, places @ normal)
    problems += _shift_problems(slices, places, normal, float(pixel.min()))
    if problems:
        problems += [f"left out {remark}" for remark in left_out]
        raise UserError("\n  ".join([f"{name}: no regular volume:", *problems]))
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = rows * pixel[1], columns * pixel[0]
    lps[:3, 2] = (places[-1] - places[0]) / (len(slices) - 1)
    lps[:3, 3] = places[0]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, slices, left_out


def _plane(slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions along a row and down a column, [3] each; spacing of rows and columns, mm, [2]."""
    cosines = np.median([header.orientation for header in slices], axis=0)
    return cosines[:3], cosines[3:], np.median([header.spacing for header in slices], axis=0)


def _alike(name: str, slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """The slices of one size and plane, and which others are left out, if they are few."""
    size, _ = Counter((header.rows, header.columns) for header in slices).most_common(1)[0]
    kept: list[Slice] = []
    odd = [
        f"{header.path.name}: {header.rows} x {header.columns} pixels, {size[0]} x {size[1]} in "
        "the other slices"
        for header in slices
        if (header.rows, header.columns) != size
    ]
    of_size = [header for header in slices if (header.rows, header.columns) == size]
    for header, distance in zip(of_size, _corner_distances(of_size)):
        if distance <= _TOLERANCE:
            kept.append(header)
        else:
            odd.append(
                f"{header.path.name}: PixelSpacing {_rounded(header.spacing)} mm and "
                f"ImageOrientationPatient {_rounded(header.orientation)} put its corners up to "
                f"{distance:.2g} voxels away from those of the other slices"
            )
    if len(kept) >= 2 and is_few(len(odd), len(kept)):
        return kept, odd
    for tag in ("rows", "columns"):
        _all_alike(name, tag.capitalize(), [str(getattr(header, tag)) for header in slices])
    for tag, field in _PLANE_TAGS.items():
        _all_alike(name, tag, [_rounded(getattr(header, field)) for header in slices])
    raise UserError(f"{name}: slices of slightly mixed orientations. {_CONVERT}")


def _corner_distances(slices: Sequence[Slice]) -> list[float]:
    """How far the corners of each slice lie from where the common plane has them, in voxels."""
    rows, columns, pixel = _plane(slices)
    normal = np.cross(rows, columns)
    gaps = np.diff(np.sort([np.dot(header.position, normal) for header in slices]))
    step = float(np.median(gaps)) if len(gaps) else 0.0
    voxel = np.array([pixel[1], pixel[0], step if step > _DUPLICATE_MM else float(pixel.min())])
    distances = []
    for header in slices:
        cosines, spacing = np.array(header.orientation), header.spacing
        across = (header.columns - 1) * (cosines[:3] * spacing[1] - rows * pixel[1])
        down = (header.rows - 1) * (cosines[3:] * spacing[0] - columns * pixel[0])
        moved = np.array([across, down, across + down]) @ np.array([rows, columns, normal]).T
        distances.append(float(np.abs(moved / voxel).max()))
    return distances


def _rounded(values: Sequence[float]) -> str:
    return str(np.round(values, 4).tolist())


def _all_alike(name: str, tag: str, values: list[str]) -> None:
    kinds = Counter(values)
    if len(kinds) > 1:
        listed = ", ".join(
            f"{value} ({quantity(count, 'slice')})" for value, count in list(kinds.items())[:5]
        )
        raise UserError(
            f"{name}: slices of different {tag}: {listed}. Put the slices of one volume in a "
            "folder of their own."
        )


def _spacing_problems(slices: Sequence[Slice], along: np.ndarray) -> list[str]:
    """Slices that are doubled, missing or unequally spaced, by their place along the normal, mm."""
    names = [header.path.name for header in slices]
    gaps = np.diff(along)
    doubled = np.flatnonzero(gaps < _DUPLICATE_MM)
    if len(doubled):
        pairs = [(slices[i], slices[i + 1]) for i in doubled.tolist()]
        same = all(one.image == other.image for one, other in pairs)
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
    slices: Sequence[Slice], places: np.ndarray, normal: np.ndarray, pixel: float
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
        name = slices[int(distance.argmax())].path.name
        return [
            f"slices shifted sideways, {name} by {distance.max():.2f} mm. Put the slices of one "
            "acquisition in a folder of their own."
        ]
    if degrees > _TILT_DEGREES and shift > _TOLERANCE * pixel:
        tag = slices[0].tilt
        tagged = f"; the tag GantryDetectorTilt says {tag:g}" if tag is not None else ""
        return [
            f"gantry tilt of {degrees:.1f} degrees: the last slice is shifted by {shift:.1f} mm "
            f"in its plane{tagged}. Correct the tilt (dcm2niix writes a corrected volume) and give "
            "the NIfTI file."
        ]
    return []


def _some(listed: list[str], count: int) -> str:
    more = count - len(listed)
    return "; ".join(listed) + (f"; and {more} more" if more > 0 else "")
