"""What the network learns from: pieces of cases, turned, scaled, cut, blurred and made noisy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vfseg.localisation.coarse import CELL, KEPT_MM, SPACING_MM, CoarseCase
from vfseg.localisation.levels import CLASSES, class_of
from vfseg.synthesis.phantom.tissue import AIR

SHAPE = (64, 32, 32)
"""Voxels of a piece."""

HEAT_MM = 5.5
"""SD of the target around the middle of a body."""

LEVEL_MM = 9.0
"""So far around the middle of a body its level is learnt."""

FRONT = 0.1
"""Share of pieces that begin in front of the spine: a heart full of contrast medium is none."""

SHORT = 0.2
"""Share of pieces in which a field of a few vertebrae is in view."""

METAL = 0.12
"""Share of pieces with screws in neighbouring vertebrae."""

_FRONT_VOXELS = (5, 10)  # from a body to where such a piece begins
_SHORT_VOXELS = (20, 38)
_METAL_HU = 3000.0
_SCREW_MM = (-45.0, 12.0)  # from behind a body into it
_SCREWS_APART_MM = 22.0
_CUT_MM = 7.0  # a body nearer to the border than this is neither to be found nor to be missed
_DOUBT_MM = 16.0
_NEIGHBOUR = 0.1  # share of a level's target that goes to each of its neighbours


class Sample(NamedTuple):
    """One piece.

    Attributes:
        hu: float32 `d h w`.
        heat: float32 `d h w`, 1 in the middle of a body.
        weight: float32 `d h w`, 0 where nothing is known.
        level: float32 `d/2 h/2 w/2 classes`, 0 everywhere where no level is to be learnt.
    """

    hu: np.ndarray
    heat: np.ndarray
    weight: np.ndarray
    level: np.ndarray


def draw_sample(rng: np.random.Generator, cases: Sequence[CoarseCase]) -> Sample:
    """Draws a piece: nearly half of them from real CTs, where there are any."""
    real = [case for case in cases if case.name.startswith("real")]
    others = [case for case in cases if not case.name.startswith("real")]
    group = real if real and (not others or rng.random() < 0.45) else others
    chances = np.sqrt([len(case.points) for case in group])
    case = group[rng.choice(len(group), p=chances / chances.sum())]
    places = np.array(list(case.points.values()))
    anchor = places[rng.integers(len(places))]
    if rng.random() < 0.2:
        anchor = rng.uniform(0, np.array(case.hu.shape) - 1)
    matrix = _draw_matrix(rng)
    middle = np.array(SHAPE) * rng.uniform(0.25, 0.75, 3)
    if rng.random() < FRONT:
        middle[1] = -rng.uniform(*_FRONT_VOXELS)
    offset = anchor - matrix @ middle
    hu = ndimage.affine_transform(
        case.hu, matrix, offset, SHAPE, np.float32, order=1, cval=AIR, prefilter=False
    )
    back = np.linalg.inv(matrix)
    if rng.random() < METAL:
        hu = _screwed(rng, hu, [back @ (place - offset) for place in places])
    low, high = _draw_field(rng, back @ (np.array(list(_corners(case.hu.shape))) - offset).T)
    targets = _targets(case, back, offset, (low, high))
    hu = worsened(rng, hu)
    outside = np.ones(SHAPE, bool)
    outside[tuple(slice(int(a), int(b)) for a, b in zip(low, high))] = False
    hu[outside] = AIR
    return Sample(hu, *targets)


def _draw_matrix(rng: np.random.Generator) -> np.ndarray:
    """Voxels of a piece to those of a case, [3, 3]."""
    turn = turned(rng, (10, 12, 15))
    scale = rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, 3)
    scale[2] *= rng.choice((-1, 1))
    return SPACING_MM / KEPT_MM * turn * scale


def turned(rng: np.random.Generator, most: Sequence[float]) -> np.ndarray:
    """A drawn rotation, [3, 3].

    Args:
        rng: draws it.
        most: [3], degrees about d, h and w.
    """
    angles = np.radians(rng.uniform(-1, 1, 3) * most)
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [k for k in range(3) if k != axis]
        plane = np.eye(3)
        plane[[a, b], [a, b]] = np.cos(angle)
        plane[a, b], plane[b, a] = -np.sin(angle), np.sin(angle)
        turn = turn @ plane
    return turn


def _corners(shape: tuple[int, ...]):
    return ((d, h, w) for d in (0, shape[0]) for h in (0, shape[1]) for w in (0, shape[2]))


def _draw_field(rng: np.random.Generator, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last voxel in view: real CTs end anywhere."""
    low, high = np.zeros(3), np.array(SHAPE, float)
    for axis, chance in enumerate((0.35, 0.2, 0.25)):
        if rng.random() < chance:
            low[axis] = rng.integers(0, SHAPE[axis] // 3)
        if rng.random() < chance:
            high[axis] = SHAPE[axis] - rng.integers(0, SHAPE[axis] // 3)
    if rng.random() < SHORT:
        length = rng.integers(*_SHORT_VOXELS)
        low[0] = rng.integers(0, SHAPE[0] - length)
        high[0] = low[0] + length
    low = np.maximum(low, np.floor(corners.min(1)))
    return np.minimum(low, high - 1), high


def _screwed(rng: np.random.Generator, hu: np.ndarray, bodies: Sequence[np.ndarray]) -> np.ndarray:
    """Two screws in each of one to five neighbouring bodies, voxels of a piece."""
    axes = np.meshgrid(*map(np.arange, SHAPE), indexing="ij", sparse=True)
    bodies = [body for body in bodies if 0 <= body[0] < SHAPE[0]]
    first = rng.integers(max(len(bodies), 1))
    radius = rng.uniform(2, 4)
    share = np.zeros(SHAPE, np.float32)
    for body in bodies[first : first + rng.integers(1, 6)]:
        up, front, right = (SPACING_MM * (axis - at) for axis, at in zip(axes, body))
        along = (front > _SCREW_MM[0]) & (front < _SCREW_MM[1])
        for side in (-1, 1):
            away = np.hypot(up, right - side * _SCREWS_APART_MM / 2)
            # What a voxel holds of a rod that is thinner than it.
            share = np.maximum(share, along * np.clip((radius - away) / SPACING_MM + 0.5, 0, 1))
    return hu + share * (_METAL_HU - hu)


def _targets(
    case: CoarseCase, back: np.ndarray, offset: np.ndarray, field: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = field
    axes = np.meshgrid(*map(np.arange, SHAPE), indexing="ij", sparse=True)
    heat = np.zeros(SHAPE, np.float32)
    cells = tuple(n // CELL for n in SHAPE)
    cell_axes = np.meshgrid(
        *(CELL * np.arange(n) + (CELL - 1) / 2 for n in cells), indexing="ij", sparse=True
    )
    level = np.zeros((*cells, CLASSES), np.float32)
    # The voxel of the case along d, for what is known of it.
    forward = np.linalg.inv(back)
    d = sum(forward[0, k] * axes[k] for k in range(3)) + offset[0]
    weight = ((d >= case.known[0]) & (d <= case.known[1])).astype(np.float32)
    doubtful = [back @ (place - offset) for place in case.doubtful]
    for name, place in case.points.items():
        at = back @ (place - offset)
        edge = np.minimum(at - low, high - 1 - at).min() * SPACING_MM
        if edge < -_DOUBT_MM:
            continue
        if edge < _CUT_MM:
            doubtful.append(at)
            continue
        away = _square_mm(axes, at)
        np.maximum(heat, np.exp(-0.5 * away / HEAT_MM**2), out=heat)
        near = _square_mm(cell_axes, at) < LEVEL_MM**2
        level[near] = _soft(class_of(name))
    for at in doubtful:
        weight[_square_mm(axes, at) < _DOUBT_MM**2] = 0
    return heat, weight, level


def _square_mm(axes: Sequence[np.ndarray], at: np.ndarray) -> np.ndarray:
    total = sum(np.square(axis - place) for axis, place in zip(axes, at))
    return SPACING_MM**2 * np.asarray(total, np.float32)


def _soft(number: int) -> np.ndarray:
    target = np.zeros(CLASSES, np.float32)
    for beside in (number - 1, number + 1):
        if 0 <= beside < CLASSES:
            target[beside] = _NEIGHBOUR
    target[number] = 1 - target.sum()
    return target


def worsened(rng: np.random.Generator, hu: np.ndarray) -> np.ndarray:
    """HU as another scanner has them: gain, offset, blur, thick slices, noise."""
    hu = hu * np.float32(rng.uniform(0.85, 1.15)) + np.float32(rng.uniform(-40, 40))
    bone = np.maximum(hu - 100, 0)
    hu = hu + bone * np.float32(rng.uniform(-0.35, 0.35))
    if rng.random() < 0.5:
        blur = rng.uniform(0, 0.7, 3)
        if rng.random() < 0.4:
            blur[0] = rng.uniform(0.5, 1.1)
        hu = ndimage.gaussian_filter(hu, blur)
    if rng.random() < 0.7:
        noise = rng.standard_normal(hu.shape, np.float32)
        hu = hu + np.float32(rng.uniform(5, 60)) * noise
    return hu
