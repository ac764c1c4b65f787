"""A labelled CT seen in many ways: cropped, in other slices, turned, noisy."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from vfseg.data.geometry import geometry_from
from vfseg.data.resample import resampled_affine, sample_linear
from vfseg.data.volume import Volume

SLICES_MM = (1.0, 3.0, 5.0)
TURNS = {"leaning forward": (1, 0, 15.0), "leaning aside": (0, 2, 15.0), "turned": (1, 2, 15.0)}
"""Name -> the two axes of `d h w` in whose plane it turns, and degrees."""

NOISE_HU = 60.0
CROPPED = 5
_AIR = -1000.0


class View(NamedTuple):
    """A CT as it is seen.

    Attributes:
        name: of the way.
        ct: HU.
        points: level -> [3] mm in RAS+, of the bodies that are whole in view.
    """

    name: str
    ct: Volume
    points: Mapping[str, np.ndarray]


def views(ct: Volume, points: Mapping[str, np.ndarray]) -> Iterator[View]:
    """All ways to see a CT.

    Args:
        ct: HU.
        points: level -> [3] canonical voxel, cranial to caudal.
    """
    yield View("as it is", ct, _world(ct, points))
    names = list(points)
    for first in range(0, len(names) - CROPPED + 1, CROPPED):
        yield _cropped(ct, points, names[first : first + CROPPED])
    for spacing in SLICES_MM:
        yield _sliced(ct, points, spacing)
    for name, turn in TURNS.items():
        yield _turned(ct, points, name, turn)
    noise = np.random.default_rng(0).normal(0, NOISE_HU, ct.shape)
    noisy = np.clip(np.rint(ct.array + noise), -2048, 3071).astype(np.int16)
    yield View(f"noise of {NOISE_HU:g} HU", Volume(noisy, ct.geometry), _world(ct, points))


def _world(ct: Volume, points: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: apply_affine(ct.affine, place) for name, place in points.items()}


def as_volume(array: np.ndarray, affine: np.ndarray) -> Volume:
    """A `d h w` array whose affine takes (d, h, w) to RAS+ mm, stored so that this is canonical."""
    geometry = geometry_from(array.shape[::-1], affine[:, [2, 1, 0, 3]])
    return Volume(geometry.to_canonical(array.transpose(2, 1, 0)), geometry)


def _cropped(ct: Volume, points: Mapping[str, np.ndarray], names: list[str]) -> View:
    """Some neighbours: the field ends in the discs beyond them, or where the CT does."""
    heights = np.array([place[0] for place in points.values()])
    steps = -np.diff(heights)
    first, last = list(points).index(names[0]), list(points).index(names[-1])
    above = 0.6 * (steps[first - 1] if first else steps[0])
    below = 0.6 * (steps[last] if last < len(steps) else steps[-1])
    low = max(int(heights[last] - below), 0)
    high = min(int(np.ceil(heights[first] + above)), ct.shape[0])
    affine = resampled_affine(ct.affine, (low, 0, 0), (1, 1, 1))
    cut = as_volume(np.ascontiguousarray(ct.array[low:high]), affine)
    return View(
        f"{CROPPED} vertebrae", cut, {name: apply_affine(ct.affine, points[name]) for name in names}
    )


def _sliced(ct: Volume, points: Mapping[str, np.ndarray], spacing: float) -> View:
    step = np.array([spacing / ct.voxel_spacing[0], 1, 1])
    shape = (max(int(ct.shape[0] / step[0]), 1), *ct.shape[1:])
    array = sample_linear(ct.array, (0, 0, 0), step, shape, fill=_AIR)
    affine = resampled_affine(ct.affine, (0, 0, 0), step)
    seen = as_volume(np.rint(array).astype(np.int16), affine)
    return View(f"slices of {spacing:g} mm", seen, _world(ct, points))


def _turned(
    ct: Volume, points: Mapping[str, np.ndarray], name: str, turn: tuple[int, int, float]
) -> View:
    """The patient turned about the middle of the CT, on a grid of 2 mm."""
    a, b, degrees = turn
    spacing = 2.0
    matrix = np.eye(3)
    angle = np.radians(degrees)
    matrix[[a, b], [a, b]] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    extent = (np.array(ct.shape) - 1) * ct.voxel_spacing
    shape = np.ceil(np.abs(matrix) @ extent / spacing).astype(int) + 1
    middle = (shape - 1) * spacing / 2
    # New millimetres p look at old ones matrix (p - middle) + extent / 2.
    whole = np.diag(1 / ct.voxel_spacing) @ matrix * spacing
    offset = (extent / 2 - matrix @ middle) / ct.voxel_spacing
    array = ndimage.affine_transform(
        ct.array, whole, offset, tuple(shape), np.float32, order=1, cval=_AIR
    )
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[3, 3] = 1
    places = {
        level: (matrix.T @ (place * ct.voxel_spacing - extent / 2) + middle)[::-1]
        for level, place in points.items()
    }
    return View(
        f"{name} by {degrees:g} degrees", as_volume(np.rint(array).astype(np.int16), affine), places
    )
