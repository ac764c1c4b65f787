"""Metal: pedicle screws with rods, and the streaks they throw across their slices."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from vfseg.synthesis.phantom.fractures import FractureSpec
from vfseg.synthesis.phantom.shapes import Frame, Grid, Rod, coverage
from vfseg.synthesis.phantom.spine import TRANSITIONAL, PlacedVertebra

METAL = 3071.0
_STREAK_MM = 70.0  # as far as streaks are drawn
_PATIENT = Frame(np.zeros(3), np.eye(3))


def draw_hardware(
    rng: np.random.Generator,
    spine: Sequence[PlacedVertebra],
    specs: Mapping[str, FractureSpec | None],
    probability: float,
) -> tuple[str, ...]:
    """Levels that carry screws: two or three whole neighbours in a row, or none.

    Args:
        rng: of the case.
        spine: all vertebrae in view, cranial to caudal.
        specs: fractures of the labelled levels, which are spanned, not screwed.
        probability: of hardware in a case.
    """
    chance, where, length = rng.random(3)
    whole = [v.level for v in spine if v.level in specs or v.level in TRANSITIONAL]
    if chance >= probability or len(whole) < 2:
        return ()
    count = min(len(whole), 3 + int(length < 0.3))
    first = int(where * (len(whole) + 1 - count))
    span = whole[first : first + count]
    screwed = tuple(level for level in span if specs.get(level) is None)
    return screwed if len(screwed) > 1 else ()


def paint_metal(
    rng: np.random.Generator,
    hu: np.ndarray,
    grid: Grid,
    spine: Sequence[PlacedVertebra],
    levels: Sequence[str],
) -> None:
    """Paints a screw through each pedicle of the levels, the rods behind, and streaks, in place."""
    vertebrae = [v for v in spine if v.level in levels]
    rods: list[Rod] = []
    for side in (-1.0, 1.0):
        heads = []
        for vertebra in vertebrae:
            size = vertebra.size
            up, back = 0.24 * size.height, -size.depth / 2
            root = side * (size.canal_width / 2 + 3)
            head, tip, hook = vertebra.frame.to_patient(np.array(
                [(up, back - 18, root + side * 5), (up - 2, 0.18 * size.depth, 0.6 * root),
                 (up, back - 21, root + side * 6)]
            ))  # fmt: skip
            rods += [_rod(head, tip, 2.7), _rod(head, hook, 5.0)]
            heads.append(hook)
        rods += [_rod(a, b, 2.8) for a, b in itertools.pairwise(heads)]
    if not rods:
        return
    boxes = [(rod, grid.box(rod.ends, rod.reach + 1.5)) for rod in rods]
    metal = np.zeros(grid.shape, bool)
    for rod, box in boxes:
        if box is not None:
            cover = coverage(rod.distance(grid.local(box, _PATIENT)), grid.width)
            view = hu[box]
            view += cover * (np.float32(METAL) - view)
            metal[box] |= cover > 0.5
    _streaks(rng, hu, grid, metal)


def _rod(start: np.ndarray, stop: np.ndarray, radius: float) -> Rod:
    (a, b, c), (d, e, f) = start, stop
    return Rod((a, b, c), (d, e, f), (radius, radius), (0.3, 0.9, 0.3))


def _streaks(rng: np.random.Generator, hu: np.ndarray, grid: Grid, metal: np.ndarray) -> None:
    """Rays of wrong HU from every piece of metal in an axial slice, dark bands between pieces.

    The rays of a piece of area A mm² fall off with distance; their directions stay the same from
    slice to slice, as the projections do.
    """
    orders = rng.integers(3, 34, 9)
    phases = rng.uniform(0, 2 * np.pi, 9)
    strength = rng.uniform(80, 190)
    y, x = grid.axis(1)[:, None], grid.axis(2)[None, :]
    for index in np.flatnonzero(metal.any((1, 2))):
        pieces, count = ndimage.label(metal[index])
        areas = np.bincount(pieces.ravel())[1:] * float(grid.spacing[1] * grid.spacing[2])
        centres = np.array(ndimage.center_of_mass(metal[index], pieces, np.arange(1, count + 1)))
        centres = grid.origin[1:] + centres * grid.spacing[1:]
        wrong = np.zeros(metal.shape[1:], np.float32)
        for area, (cy, cx) in zip(areas, centres.astype(np.float32)):
            r = np.hypot(y - cy, x - cx)
            angle = np.arctan2(y - cy, x - cx)
            rays = sum(np.cos(k * angle + p) for k, p in zip(orders, phases)) / 1.5
            fall = np.sqrt(area) / (r + 6) * np.clip(1.2 - r / np.float32(_STREAK_MM), 0, 1)
            wrong += np.float32(strength) * rays * fall
        for (ay, ax), (by, bx) in itertools.combinations(centres.astype(np.float32), 2):
            length = np.hypot(by - ay, bx - ax) + np.float32(1e-3)
            along = ((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / length
            across = ((y - ay) * (bx - ax) - (x - ax) * (by - ay)) / length
            between = np.clip(np.minimum(along, length - along) / 4, 0, 1)
            wrong -= np.float32(1.6 * strength) * between * np.exp(-np.square(across / 4))
        view = hu[index]
        view += np.where(metal[index], 0, wrong)
