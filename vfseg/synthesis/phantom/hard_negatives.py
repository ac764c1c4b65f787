"""Look-alikes between and around vertebrae, which the setting `hard_negatives` adds to a case.

They are painted over a finished spine, from random numbers of their own: without them, cases are
what they were. None of them has a fracture label. `docs/look-alikes.md` lists all look-alikes.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from vfseg.synthesis.phantom.painter import Painter
from vfseg.synthesis.phantom.shapes import (
    Grid,
    Ripple,
    Rod,
    coverage,
    ellipse_distance,
    ramp,
    smooth_max,
)
from vfseg.synthesis.phantom.spine import PlacedVertebra

CONTRAST_HU = (150.0, 350.0)
"""Of vessels after contrast medium."""
GAS_HU = -700.0

_CORTEX_HU, _CORE_HU = 700.0, 250.0
_CURVE_DEGREES = (8.0, 18.0)
_REACH_MM = 8.0  # around a body


def draw_curve(rng: np.random.Generator, share: float) -> float:
    """Tilt in degrees that scoliosis adds to the vertebrae at its bends; 0 in the other cases."""
    chance, curve = rng.random(), float(rng.uniform(*_CURVE_DEGREES))
    return curve if chance < share else 0.0


def vein_rods(rng: np.random.Generator, half_depth: float) -> list[Rod]:
    """A wide basivertebral vein: from the middle of the posterior wall, and its fork."""
    bore = float(rng.uniform(0.9, 1.6))
    level, reach = float(rng.normal(0, 1)), float(rng.uniform(-0.3, 0.15)) * half_depth
    rods = [Rod((level, -half_depth - 1, 0.0), (level, reach, 0.0), (1.2 * bore, 2.2 * bore),
                (1, 0, 0), 0.6)]  # fmt: skip
    for side in (-1, 1):
        stop = (level + float(rng.normal(0, 1)), reach + 4, side * float(rng.uniform(3, 7)))
        rods.append(Rod((level, reach - 5, 0.0), stop, (0.8 * bore, 0.9 * bore), (1, 0, 0), 0.6))
    return rods


def segmental_vessel(
    rng: np.random.Generator, wall: np.ndarray, up: np.ndarray, width: float
) -> np.ndarray:
    """A thin vessel that hugs the waist of a body.

    Args:
        rng: of its bore and its height.
        wall: distance of every voxel to the body, mm.
        up: height of every voxel above the middle of the body, mm.
        width: of a voxel, mm.

    Returns:
        Fraction of every voxel within it, 0..1, all around the body.
    """
    bore = float(rng.uniform(1.2, 2.0))
    tube = np.hypot(wall - (bore + 0.3), up - float(rng.normal(0, 1.5))) - bore
    return coverage(tube, width)


def gas_in_disc(
    rng: np.random.Generator,
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    size: tuple[float, float, float],
    width: float,
) -> np.ndarray:
    """A vacuum in a worn disc: a wavy streak of gas along its middle.

    Args:
        rng: of its waves.
        place: (up from the middle of the disc, front, right) of every voxel, mm.
        size: (height of the disc, depth, width of the bodies), mm.
        width: of a voxel, mm.

    Returns:
        Fraction of every voxel within it, 0..1.
    """
    up, front, right = place
    height, depth, across = size
    waves = Ripple.draw(rng, (10, 25), 2).at(front, right)
    lens = ellipse_distance(front, right, 0.28 * depth, 0.32 * across) + 2 * waves
    streak = np.abs(up + 0.4 * waves) - np.float32(np.clip(0.2 * height, 0.7, 1.5) / 2)
    return coverage(smooth_max(lens, streak, 0.5), width)


def paint_hard_negatives(
    rng: np.random.Generator,
    painter: Painter,
    grid: Grid,
    spine: Sequence[PlacedVertebra],
    whole: Mapping[str, int],
    share: float,
) -> dict[str, list[str]]:
    """Paints bridges, worn discs and vessels full of contrast into a drawn spine.

    Args:
        rng: of the hard negatives.
        painter: after all bones; its mask stays.
        grid: of its volumes.
        spine: all vertebrae, cranial to caudal.
        whole: level -> label of the vertebrae that are neither fractured nor deformed.
        share: probability of each at every vertebra, or at every disc between two.

    Returns:
        Level -> names of what was painted there.
    """
    names: dict[str, list[str]] = {level: [] for level in whole}
    for vertebra in spine:
        if vertebra.level in whole and rng.random() < share:
            _vessels(rng, painter, grid, vertebra, whole[vertebra.level])
            names[vertebra.level].append("contrast in vessels")
    for upper, lower in itertools.pairwise(spine):
        if upper.level not in whole or lower.level not in whole:
            continue
        pair = upper, lower
        labels = whole[upper.level], whole[lower.level]
        for name, paint in (("bridging osteophyte", _bridge), ("worn disc", _worn_disc)):
            if rng.random() < share:
                paint(rng, painter, grid, pair, labels)
                names[upper.level].append(name)
                names[lower.level].append(name)
    return {level: list(dict.fromkeys(found)) for level, found in names.items()}


def _vessels(
    rng: np.random.Generator, painter: Painter, grid: Grid, vertebra: PlacedVertebra, label: int
) -> None:
    size = vertebra.size
    reach = np.array([size.height, size.depth, size.width]) / 2 + _REACH_MM
    box = grid.box(vertebra.frame.to_patient(_corners(reach)), 1)
    if box is None:
        return
    up, front, right = local = grid.local(box, vertebra.frame)
    hu, labels = painter.hu[box], painter.labels[box]
    value = np.float32(rng.uniform(*CONTRAST_HU))
    wall = ndimage.distance_transform_edt(labels != label, sampling=grid.spacing)
    vessel = segmental_vessel(rng, wall.astype(np.float32), up, grid.width)
    turn = right * np.float32(rng.choice((-1, 1)))
    cover = vessel * ramp(front, 0, 4) * ramp(turn, -4, 0) * (labels == 0)
    for rod in vein_rods(rng, size.depth / 2):
        inside = (labels == label) & (front > -size.depth / 2)
        cover = np.maximum(cover, coverage(rod.distance(local), grid.width) * inside)
    hu += cover * (value - hu)


def _bridge(
    rng: np.random.Generator,
    painter: Painter,
    grid: Grid,
    pair: tuple[PlacedVertebra, PlacedVertebra],
    labels: tuple[int, int],
) -> None:
    """Bone from rim to rim; each vertebra has its half."""
    upper, lower = pair
    angle = float(np.clip(rng.normal(0, 0.8), -1.2, 1.2))
    radii = float(rng.uniform(1.8, 2.6)), float(rng.uniform(3, 5))
    rims = []
    for vertebra, side in ((upper, -1), (lower, 1)):
        size = vertebra.size
        front, right = np.cos(angle) * size.depth / 2, np.sin(angle) * size.width / 2
        up = side * (size.height / 2 + size.tilt * front - 3)
        rims.append(vertebra.frame.to_patient((up, 0.95 * front, 0.95 * right)))
    frame = lower.frame
    ends = [frame.axes @ (rim - frame.centre) for rim in rims]
    outer = (ends[0] + ends[1]) / 2 * np.array([1, 1.16, 1.16])
    box = grid.box(np.array([*rims, frame.to_patient(outer)]), max(radii) + 3)
    if box is None:
        return
    local = grid.local(box, frame)
    hu, marks = painter.hu[box], painter.labels[box]
    free = marks == 0
    for end, label in zip(ends, labels):
        rod = Rod(tuple(end), tuple(outer), radii, (0, 1, 0))
        distance = rod.distance(local)
        cover = coverage(distance, grid.width) * free
        core = coverage(distance + 1.2, grid.width)
        hu += cover * (_CORTEX_HU + core * (_CORE_HU - _CORTEX_HU) - hu)
        marks[(cover >= 0.5) & (marks == 0)] = label


def _worn_disc(
    rng: np.random.Generator,
    painter: Painter,
    grid: Grid,
    pair: tuple[PlacedVertebra, PlacedVertebra],
    labels: tuple[int, int],
) -> None:
    """Dense bone on both sides of a disc, and gas in it."""
    upper, lower = pair
    low = lower.frame.to_patient((lower.size.height / 2, 0, 0))
    high = upper.frame.to_patient((-upper.size.height / 2, 0, 0))
    size = lower.size
    reach = np.array([14.0, size.depth / 2 + 2, size.width / 2 + 2])
    frame = lower.frame.moved((low + high) / 2 - lower.frame.centre)
    box = grid.box(frame.to_patient(_corners(reach)), 1)
    if box is None:
        return
    local = grid.local(box, frame)
    front, right = local[1:]
    hu, marks = painter.hu[box], painter.labels[box]
    radius = np.hypot(front, right)
    extent = float(rng.uniform(0.7, 1.0)) * size.depth / 2
    for label in labels:
        depth = float(rng.uniform(4, 9))
        away = ndimage.distance_transform_edt(marks == label, sampling=grid.spacing)
        weight = ramp(away.astype(np.float32), depth, 0) * ramp(radius, extent, 0.6 * extent)
        hu += np.float32(rng.uniform(90, 300)) * weight * (marks == label)
    between = float(np.linalg.norm(high - low))
    gas = gas_in_disc(rng, local, (between, size.depth, size.width), grid.width)
    hu += gas * (marks == 0) * (np.float32(GAS_HU) - hu)


def _corners(reach: np.ndarray) -> np.ndarray:
    return np.array([[u, f, r] for u in (-1, 1) for f in (-1, 1) for r in (-1, 1)]) * reach
