"""Everything around the bones: muscle, fat, lungs, vessels, canal, skin, air, and the discs."""

from collections.abc import Sequence

import numpy as np

from vfseg.synthesis.phantom.shapes import (
    Frame,
    Grid,
    Ripple,
    coverage,
    ellipse_distance,
    ramp,
    smooth_max,
)
from vfseg.synthesis.phantom.spine import Patient, PlacedVertebra

AIR = -1000.0
_COARSE_MM = 2.5


def paint_surroundings(
    rng: np.random.Generator, grid: Grid, spine: Sequence[PlacedVertebra], patient: Patient
) -> np.ndarray:
    """HU of everything but bones and discs, float32 `d h w`.

    Soft tissue is smooth and of low contrast, so it is drawn on a coarse grid and interpolated.
    """
    extent = (np.array(grid.shape) - 1) * grid.spacing
    cells = np.ceil(extent / _COARSE_MM).astype(int) + 1
    coarse = Grid(tuple(cells), extent / np.maximum(cells - 1, 1), grid.origin)
    hu = _coarse_tissue(rng, coarse, spine, patient)
    for axis in range(3):
        hu = stretch(hu, axis, grid.shape[axis])
    return hu


def paint_disc(
    rng: np.random.Generator,
    hu: np.ndarray,
    grid: Grid,
    upper: PlacedVertebra,
    lower: PlacedVertebra,
    patient: Patient,
) -> None:
    """Paints the disc between two bodies in place; the bodies are painted over its ends."""
    top, bottom = upper.size, lower.size
    ends = (
        upper.frame.to_patient((-top.height / 2, 0, 0)),
        lower.frame.to_patient((bottom.height / 2, 0, 0)),
    )
    axes = upper.frame.axes + lower.frame.axes
    frame = Frame((ends[0] + ends[1]) / 2, axes / np.linalg.norm(axes, axis=1, keepdims=True))
    # As far as the walls of a sunken body reach; less would leave a collar at the waist.
    half = np.linalg.norm(ends[0] - ends[1]) / 2 + 4.5
    depth, width = (top.depth + bottom.depth) / 2, (top.width + bottom.width) / 2
    reach = np.array([half, depth / 2 + 2, width / 2 + 2])
    signs = np.array([[u, f, r] for u in (-1, 1) for f in (-1, 1) for r in (-1, 1)])
    box = grid.box(frame.to_patient(signs * reach), 1)
    if box is None:
        return
    up, front, right = grid.local(box, frame)
    back = np.float32(-0.12 * depth)
    bulge = 0.99 + 0.03 * rng.random()
    wall = ellipse_distance(front - back, right, 0.62 * depth * bulge, width / 2 * bulge)
    wall = smooth_max(wall, -(front + np.float32(depth / 2)), 3.0)
    cover = coverage(smooth_max(wall, np.abs(up) - np.float32(half), 1.0), grid.width)
    core = rng.uniform(62, 95) + patient.look.disc
    values = core + 18 * ramp(wall, -8, -1)
    if rng.random() < 0.06 * patient.degeneration:  # vacuum: thin streaks of gas in a worn disc
        streaks = Ripple.draw(rng, (10, 25), 2).at(front, right)
        gas = ellipse_distance(front, right, 0.3 * depth, 0.35 * width) + 3 * streaks
        gas = smooth_max(gas, np.abs(up + 0.4 * streaks) - np.float32(0.5), 0.5)
        values = values - 700 * coverage(gas, grid.width)
    view = hu[box]
    view += cover * (values - view)


def _coarse_tissue(
    rng: np.random.Generator, grid: Grid, spine: Sequence[PlacedVertebra], patient: Patient
) -> np.ndarray:
    look = patient.look
    z = grid.axis(0)
    order = np.argsort([v.frame.centre[0] for v in spine])
    knots = np.array([spine[i].frame.centre[0] for i in order])

    def along(values: Sequence[float]) -> np.ndarray:
        return np.interp(z, knots, np.array(values)[order]).astype(np.float32)[:, None, None]

    y = grid.axis(1)[None, :, None] - along([v.frame.centre[1] for v in spine])
    x = grid.axis(2)[None, None, :] - along([v.frame.centre[2] for v in spine])
    depth, width = along([v.size.depth for v in spine]), along([v.size.width for v in spine])
    canal_depth = along([v.size.canal_depth for v in spine])
    canal_width = along([v.size.canal_width for v in spine])
    lumbar = along([v.size.lumbar for v in spine])
    low = along([min(1.0, max(0.0, (_rank(v.level) - 9) / 5)) for v in spine])  # 0 L1 .. 1 at S1
    zz = np.broadcast_to(z[:, None, None], (len(z), 1, 1))
    folds = Ripple.draw(rng, (18, 45), 3, 6).at(zz, y, x)
    fine = Ripple.draw(rng, (7, 16), 3, 6).at(zz, y, x)
    hu = np.full(grid.shape, look.fat, np.float32) + 6 * fine

    def put(distance: np.ndarray, value: np.ndarray | float) -> None:
        hu[...] += coverage(distance, grid.width) * (value - hu)

    # In front: bowel and organs in fat below, heart and vessels between the lungs above.
    put(8 - 9 * folds - (y - depth * 0.5 - 6) * 0.6 + 6 * lumbar, look.organ + 5 * fine)
    put(ellipse_distance(x, y, width / 2 + 4.5, depth / 2 + 4), 20.0)  # ligament, small vessels
    # Lungs beside and behind the upper bodies.
    medial = width / 2 + 7 + 3 * folds + 0.35 * np.maximum(-y - 4, 0) + 0.25 * np.maximum(y - 18, 0)
    lung = smooth_max(medial - np.abs(x), -(y + depth / 2 + 3 + 0.24 * np.abs(x)), 10.0)
    lung = lung + 400 * np.clip(lumbar - 0.45 - 0.2 * np.tanh(folds), 0, 1)
    put(lung, look.lung + 45 * fine)
    # Muscles: erector spinae behind, psoas beside the lumbar bodies.
    lean = look.muscle - 40 * patient.degeneration * np.clip(fine, 0, 2)
    septa = Ripple.draw(rng, (14, 30), 3, 6).at(zz / 3, y, x)  # planes of fat between fascicles
    lean = lean - (60 + 60 * patient.degeneration) * np.exp(-np.square(septa / 0.3))
    hind = depth / 2 + canal_depth
    size = 17 + 9 * lumbar
    erector = ellipse_distance(
        np.abs(x) - size - 1, y + hind + 12 + 4 * lumbar, size + 1, 14 + 7 * lumbar
    )
    put(erector + 2.5 * folds, lean)
    psoas_size = 7 + 14 * low
    psoas = ellipse_distance(
        np.abs(x) - width / 2 - psoas_size * 0.75, y + 0.2 * depth, psoas_size, psoas_size * 1.15
    )
    put(psoas + 30 * (1 - lumbar) - 2.5 * folds, lean)
    # Aorta in front of the lumbar spine and to its left above; the vena cava on its right.
    blood = 42 + patient.contrast
    radius = rng.uniform(8.5, 12)
    ax = -(1 - lumbar) * (width / 2 + radius - 1) - lumbar * 11
    ay = (1 - lumbar) * depth * 0.3 + lumbar * (depth / 2 + radius + 3)
    aorta = ellipse_distance(x - ax, y - ay, radius, radius) + 30 * np.clip(low - 0.75, 0, 1)
    put(aorta - 1, 45.0)
    put(aorta, blood)
    chalk = (
        np.abs(aorta) - 0.7 + 2.5 * np.maximum(2.2 - 1.2 * patient.degeneration - folds - fine, 0)
    )
    put(chalk, 650.0)
    cava = ellipse_distance(x - 15, y - depth / 2 - 10, 11, 8) + 30 * (1 - lumbar)
    put(cava, 42 + 0.45 * patient.contrast)
    # Canal: fluid and cord or roots within a rim of fat.
    canal = ellipse_distance(x, y + depth / 2 + canal_depth / 2, canal_width / 2, canal_depth / 2)
    put(canal - 1, -40.0)
    put(canal + 2, look.canal + 12 * lumbar)
    cord = ellipse_distance(x, y + depth / 2 + canal_depth / 2, 4.6, 3.6) + 8 * lumbar
    put(cord, 42.0)
    # Skin, a layer of fat under it, and air.
    cushion = rng.uniform(10, 30)
    skin = y + hind + 42 + cushion - np.square(x) / 260 + folds
    put(skin - cushion * 0.6, look.fat + 6 * fine)
    put(skin - 2.5, 20.0)
    put(skin, AIR)
    return hu


def _rank(level: str) -> int:
    """Position below T3: T4 is 1, S1 is 15."""
    return 15 if level == "S1" else int(level[1:]) - 3 + (12 if level[0] == "L" else 0)


def stretch(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Linear interpolation of one axis onto `size` points that share its first and last."""
    position = np.linspace(0, array.shape[axis] - 1, size)
    first = np.minimum(position.astype(int), max(array.shape[axis] - 2, 0))
    weight = (position - first).astype(np.float32)
    weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
    left = np.take(array, first, axis)
    right = np.take(array, np.minimum(first + 1, array.shape[axis] - 1), axis)
    right -= left
    right *= weight
    right += left
    return right
