"""CTs in which no spine should be found, and metal in one in which it should."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.studies.localiser.views import as_volume
from vfseg.data.resample import resampled_affine
from vfseg.data.volume import Volume
from vfseg.errors import UserError
from vfseg.localisation.coarse import KEPT_MM
from vfseg.localisation.find import Found, find_vertebrae
from vfseg.localisation.heat import coarsened
from vfseg.localisation.synthetic import draw_case

_AIR, _METAL = -1000, 3071
_BEFORE_SPINE_MM = 35.0  # from the middles of the bodies to what is in front of all of them
_ANIMAL = 0.4
_SCREW_MM = 6.0  # across
_SCREW_BEHIND_MM, _SCREW_AHEAD_MM, _SCREW_ASIDE_MM = 45.0, 10.0, 11.0  # of the middle of a body


class Wrong(NamedTuple):
    """A CT that is not what it should be.

    Attributes:
        name: what it shows.
        ct: HU.
    """

    name: str
    ct: Volume


def wrong_cts(chest: Volume, points: Mapping[str, np.ndarray]) -> Iterator[Wrong]:
    """What should be refused.

    Args:
        chest: a CT of a chest.
        points: its vertebrae, level -> [3] canonical voxel.
    """
    first = max(place[1] for place in points.values())
    first = int(first + _BEFORE_SPINE_MM / chest.voxel_spacing[1])
    affine = resampled_affine(chest.affine, (0, first, 0), (1, 1, 1))
    yield Wrong(
        "the front of a chest, without its spine",
        as_volume(np.ascontiguousarray(chest.array[:, first:]), affine),
    )
    both = np.concatenate([chest.array, np.full_like(chest.array[..., :8], _AIR), chest.array], 2)
    yield Wrong("two patients side by side", as_volume(both, chest.affine))
    small = chest.affine @ np.diag([_ANIMAL, _ANIMAL, _ANIMAL, 1.0])
    yield Wrong(f"a chest of {_ANIMAL:g} times its size", as_volume(chest.array, small))
    drawn = draw_case(np.random.SeedSequence((98, 0)), "head")
    head = drawn.hu[round(drawn.points["C3"][0]) + 5 :]
    yield Wrong("a drawn head", _of_voxels(head, KEPT_MM))
    noise = np.random.default_rng(0).normal(40, 60, (120, 100, 120))
    yield Wrong("noise", _of_voxels(noise, KEPT_MM))
    yield Wrong("a cylinder of water", _of_voxels(_cylinder(0), KEPT_MM))
    yield Wrong("a cylinder of water with eight rods", _of_voxels(_cylinder(8), KEPT_MM))


def with_screws(ct: Volume, points: Mapping[str, np.ndarray], levels: Sequence[str]) -> Volume:
    """A CT with two screws of metal in each of some vertebrae, through pedicles into the body.

    Args:
        ct: HU.
        points: level -> [3] canonical voxel.
        levels: that get screws.
    """
    array = ct.array.copy()
    up, front, right = (np.arange(n) * mm for n, mm in zip(ct.shape, ct.voxel_spacing))
    for level in levels:
        d, h, w = points[level] * ct.voxel_spacing
        along = (front > h - _SCREW_BEHIND_MM) & (front < h + _SCREW_AHEAD_MM)
        for side in (-1, 1):
            away = np.hypot(up[:, None] - d, right - (w + side * _SCREW_ASIDE_MM))
            array[(away < _SCREW_MM / 2)[:, None] & along[:, None]] = _METAL
    return Volume(array, ct.geometry)


def answer_to(ct: Volume, params: Any, name: str) -> Found | str:
    """What is found, or the words with which it is refused."""
    try:
        return find_vertebrae(coarsened(ct), params, name)
    except UserError as error:
        return str(error).removeprefix(f"{name}: ").partition(". ")[0]


def _of_voxels(hu: np.ndarray, mm: float) -> Volume:
    affine = np.diag([mm, mm, mm, 1.0])[:, [2, 1, 0, 3]]  # d runs up, h forward, w to the right
    return as_volume(np.rint(hu).astype(np.int16), affine)


def _cylinder(rods: int) -> np.ndarray:
    """Water in air, 20 cm across and 30 cm long, with rods of plastic to bone on a circle."""
    size = np.array((100, 90, 90))
    h, w = np.meshgrid(*(KEPT_MM * (np.arange(n) - n / 2) for n in size[1:]), indexing="ij")
    plane = np.where(np.hypot(h, w) < 100, 0.0, float(_AIR))
    for number in range(rods):
        angle = 2 * np.pi * number / rods
        near = np.hypot(h - 60 * np.cos(angle), w - 60 * np.sin(angle)) < 12
        plane[near] = -200 + 1200 * number / rods
    return np.broadcast_to(plane, tuple(size)).copy()
