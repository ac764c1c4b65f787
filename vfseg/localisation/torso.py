"""A coarse body around a drawn spine: skin, lungs, organs, rib cage, pelvis, shoulders, skull.

Not a likeness of anybody. It shows what tells one level from another where a CT is looked at in
voxels of some millimetres: where lungs end, which vertebrae carry ribs and how long they are, and
what the spine stands on. Intensities are drawn from ranges wider than real ones, after Billot et
al. (2023, Medical Image Analysis): SynthSeg.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vfseg.synthesis.phantom.painter import Painter
from vfseg.synthesis.phantom.shapes import Frame, Grid, Ripple, Rod, coverage, ramp
from vfseg.synthesis.phantom.spine import PlacedVertebra
from vfseg.synthesis.phantom.tissue import AIR
from vfseg.synthesis.phantom.vertebra import shape_rods

_RIB_REACH = {"T1": 0.5, "T2": 0.66, "T3": 0.8, "T4": 0.9}  # of the cage's half axes
_RIB_ENDS = {"T1": 150.0, "T10": 115.0, "T11": 78.0, "T12": 48.0}  # degrees around it
_RIB_DROP_MM = {"T1": 35.0, "T2": 60.0, "T11": 70.0, "T12": 55.0}


@dataclass(frozen=True, eq=False)
class Torso:
    """The trunk as a stack of ellipses.

    Attributes:
        z: [d] mm, heights of the ellipses.
        middle: [d, 2] mm, their centres (anterior, right).
        half: [d, 2] mm, their half axes (front to back, side to side).
        fat: mm under the skin.
        wall: mm from the skin to what lies inside the trunk.
    """

    z: np.ndarray
    middle: np.ndarray
    half: np.ndarray
    fat: float
    wall: float

    def at(self, z: float) -> tuple[np.ndarray, np.ndarray]:
        """Centre and half axes, [2] each, at a height in mm."""
        middle, half = (
            np.array([np.interp(z, self.z, column) for column in values.T])
            for values in (self.middle, self.half)
        )
        return middle, half


def draw_torso(rng: np.random.Generator, grid: Grid, centres: Mapping[str, np.ndarray]) -> Torso:
    """Draws the trunk around a spine.

    Args:
        rng: source of its sizes.
        grid: of the volume.
        centres: level -> [3] mm of the bodies; some of T3 to S1 at least.
    """
    z = grid.axis(0).astype(float)
    places = np.array(sorted(centres.values(), key=lambda p: p[0]))
    line = np.stack([np.interp(z, places[:, 0], places[:, k]) for k in (1, 2)], 1)
    middle = 0.4 * line + 0.6 * places[:, 1:].mean(0)
    scale = rng.uniform(0.85, 1.15)
    thorax, belly, hips = (
        scale * np.array([rng.uniform(*front), rng.uniform(*side)])
        for front, side in (
            ((92, 122), (135, 165)),
            ((88, 150), (135, 185)),
            ((95, 130), (155, 190)),
        )
    )
    neck = scale * np.array([rng.uniform(55, 70), rng.uniform(58, 75)])
    top, chest = _height(centres, "T1", 0), _height(centres, "T8", 0)
    waist, seat = _height(centres, "L3", 0), _height(centres, "S1", -60)
    knots = np.array([seat, waist, chest, top - 20, top + 45])
    values = np.array([hips, belly, thorax, 0.85 * thorax, neck])
    order = np.argsort(knots)
    half = np.stack([np.interp(z, knots[order], values[order, k]) for k in (0, 1)], 1)
    behind = rng.uniform(58, 85) * scale
    middle[:, 0] += half[:, 0] - behind
    fat = rng.uniform(4, 35)
    return Torso(z, middle, half, fat, fat + rng.uniform(8, 18))


def paint_torso(
    rng: np.random.Generator, grid: Grid, torso: Torso, centres: Mapping[str, np.ndarray]
) -> np.ndarray:
    """HU of the trunk without bones, float32 `d h w`, and of the air and the table around it."""
    z = grid.axis(0)[:, None, None]
    y = grid.axis(1)[None, :, None] - torso.middle[:, 0].astype(np.float32)[:, None, None]
    x = grid.axis(2)[None, None, :] - torso.middle[:, 1].astype(np.float32)[:, None, None]
    front, side = (torso.half[:, k].astype(np.float32)[:, None, None] for k in (0, 1))
    radius = np.sqrt(np.square(y / front) + np.square(x / side))
    depth = (1 - radius) * np.minimum(front, side)  # mm below the skin, about
    folds = Ripple.draw(rng, (25, 70), 3, 5).at(z, y, x)
    fine = Ripple.draw(rng, (10, 22), 3, 4).at(z, y, x)
    fat, organ = rng.uniform(-125, -70), rng.uniform(20, 90)
    hu = np.full(grid.shape, AIR, np.float32)

    def put(distance: np.ndarray, value: np.ndarray | float) -> None:
        hu[...] += coverage(distance, 2 * grid.width) * (value - hu)

    put(-depth, fat + 5 * fine)
    put(torso.fat + 2 * folds - depth, rng.uniform(30, 75))
    inside = np.float32(torso.wall) - depth
    # Fat and bowel between organs, some of it with gas or with contrast medium.
    bowel = organ + rng.uniform(20, 130) * np.clip(folds, -1.2, 0) + 8 * fine
    put(inside, np.where(folds < -0.9, fat, bowel))
    gas = Ripple.draw(rng, (30, 60), 3, 5).at(z, y, x)
    dome = _height(centres, "T10", rng.uniform(-25, 25))
    base = dome - 0.5 * np.abs(x) * (np.abs(x) > 40) + 0.15 * y
    below = np.maximum(inside + 12, z - base + 25)
    put(np.maximum(below, 18 * (1.7 - gas)), rng.choice((-900.0, -900.0, 250.0, 450.0)))
    for place in ((0.1, 0.45, 0.25), (0.1, -0.5, -0.15)):  # liver, spleen
        middle = np.array([dome - 55, place[0], place[1]])
        ball = _ball(z - middle[0], y / front - middle[1], x / side - middle[2], (62, 0.55, 0.42))
        put(np.maximum(ball * 45, inside), rng.uniform(30, 160))
    for right in (-1, 1):  # kidneys
        level = _height(centres, "L2", rng.uniform(-15, 25))
        ball = _ball(z - level, y / front + 0.35, x / side - 0.42 * right, (52, 0.26, 0.2))
        put(ball * 25, rng.uniform(25, 260))
    # Lungs above the diaphragm, beside the mediastinum; the heart between them.
    lung = np.maximum(inside + 3, base - z)
    lung = np.maximum(lung, rng.uniform(28, 42) - np.abs(x + 6 * folds) - 0.1 * np.maximum(-y, 0))
    apex = _height(centres, "T1", 0)
    lung = np.maximum(lung, z - apex)
    put(lung, rng.uniform(-920, -650) + 30 * fine)
    heart = _ball(z - dome - 45, y / front - 0.35, x / side + 0.25, (55, 0.45, 0.42))
    put(np.maximum(heart * 45, inside), rng.uniform(35, 320))
    windpipe = np.hypot(x, y - 0.05 * front) - 8
    put(np.maximum(windpipe, _height(centres, "T5", 0) - z), -950.0)
    if rng.random() < 0.7:  # the table
        under = grid.axis(1)[None, :, None] - (torso.middle[:, 0] - torso.half[:, 0]).min()
        bend = rng.uniform(0, 1 / 900)
        away = np.abs(under + rng.uniform(5, 20) - bend * np.square(x)) - rng.uniform(2, 12)
        put(np.where(depth < 0, away, 9.0), rng.uniform(-900, 100))
    return hu


def paint_skeleton(
    rng: np.random.Generator,
    painter: Painter,
    grid: Grid,
    torso: Torso,
    spine: Sequence[PlacedVertebra],
) -> None:
    """Paints ribs, breastbone, pelvis, shoulders and skull into the volume of a painter."""
    known = {v.level: v for v in spine}
    ends = {k: v + rng.normal(0, 12) for k, v in _RIB_ENDS.items()}
    drop = rng.uniform(75, 120)
    for vertebra in spine:
        if vertebra.level[0] == "T":
            for side in (-1, 1):
                rods = _rib(torso, vertebra, side, (ends.get(vertebra.level, 140.0), drop))
                _paint(painter, grid, rods)
    if "T3" in known and "T9" in known:
        points = [_front(torso, known[k].frame.centre[0] - 30) for k in ("T3", "T6", "T9")]
        _paint(painter, grid, _chain(points, (16.0, 5.0), (0, 0, 1)))
    if "S1" in known:
        _paint(painter, grid, _pelvis(rng, known["S1"]))
    if "T2" in known:
        for side in (-1, 1):
            _paint(painter, grid, _shoulder(torso, known["T2"].frame.centre, side))
    top = spine[0]
    if top.level == "C3":
        skull = top.frame.centre + np.array([95, 25, 0])
        walls = [
            skull + 72 * np.array([np.sin(a), np.cos(a) * np.cos(b), np.cos(a) * np.sin(b)])
            for a in np.linspace(-0.6, 1.3, 6)
            for b in np.linspace(0, 2 * np.pi, 13)
        ]
        for row in range(6):
            _paint(painter, grid, _chain(walls[13 * row : 13 * row + 13], (9.0, 4.0), (1, 0, 0)))


def _height(centres: Mapping[str, np.ndarray], level: str, above: float) -> float:
    """Height of a level, mm, reckoned from the nearest known one where it is not known."""
    order = (*(f"C{n}" for n in range(1, 8)), *(f"T{n}" for n in range(1, 13)),
             *(f"L{n}" for n in range(1, 6)), "S1")  # fmt: skip
    nearest = min(centres, key=lambda name: abs(order.index(name) - order.index(level)))
    steps = order.index(nearest) - order.index(level)
    return float(centres[nearest][0]) + 26.0 * steps + above


def _ball(d: np.ndarray, h: np.ndarray, w: np.ndarray, half: tuple[float, float, float]):
    """Radius against that of an ellipsoid, less 1."""
    a, b, c = half
    return np.sqrt(np.square(d / a) + np.square(h / b) + np.square(w / c)) - 1


def _rib(
    torso: Torso, vertebra: PlacedVertebra, side: int, course: tuple[float, float]
) -> list[Rod]:
    """A rib from the vertebra around the cage."""
    end, drop = course
    size, frame = vertebra.size, vertebra.frame
    wall, half = -size.depth / 2, size.width / 2
    root = [
        (0.36 * size.height, wall + 3, side * (half + 2)),
        (0.1 * size.height, wall - 16, side * (half + 20)),
    ]
    points = list(frame.to_patient(np.array(root)))
    reach = _RIB_REACH.get(vertebra.level, 1.0)
    drop = _RIB_DROP_MM.get(vertebra.level, drop)
    for angle in np.radians(np.arange(38, max(end, 42), 13)):
        z = frame.centre[0] - drop * (1 - np.cos(angle)) / 2
        middle, axes = torso.at(z)
        axes = reach * (axes - torso.fat - 7)
        back = middle[0] - (torso.at(z)[1][0] - torso.fat - 7)
        points.append(
            np.array(
                [
                    z,
                    back + axes[0] * (1 - np.cos(angle)),
                    middle[1] + side * axes[1] * np.sin(angle),
                ]
            )
        )
    return _chain(points, (3.2, 6.0), (1, 0, 0))


def _front(torso: Torso, z: float) -> np.ndarray:
    middle, half = torso.at(z)
    return np.array([z, middle[0] + half[0] - torso.fat - 8, middle[1]])


def _pelvis(rng: np.random.Generator, sacrum: PlacedVertebra) -> list[Rod]:
    """The rest of the sacrum, the wings of the pelvis, hips and thighs."""
    at, wide = sacrum.frame.centre, rng.uniform(0.9, 1.15)

    def rod(start, stop, radii, flat=(0.0, 0.0, 1.0), taper=1.0) -> Rod:
        first, last = (_point(at + np.array(p) * (1, 1, wide)) for p in (start, stop))
        return Rod(first, last, radii, flat, taper)

    rods = [
        rod((-20, -18, 0), (-95, -55, 0), (34.0, 11.0), taper=0.45),
        rod((-95, -55, 0), (-125, -40, 0), (12.0, 6.0), taper=0.6),
    ]
    for side in (-1.0, 1.0):
        rods += [
            rod((-30, -30, side * 58), (45, -5, side * 100), (30.0, 6.0), (0, 1, 0.3 * side)),
            rod((-30, -10, side * 62), (35, 30, side * 125), (26.0, 5.0), (0, 1, 0.3 * side)),
            rod((-30, -25, side * 60), (-85, 25, side * 88), (18.0, 10.0), (0, 1, 0)),
            rod((-88, 28, side * 92), (-90, 29, side * 94), (24.0, 24.0)),
            rod((-90, 28, side * 95), (-115, 20, side * 140), (15.0, 15.0)),
            rod((-115, 20, side * 140), (-240, 25, side * 125), (16.0, 16.0)),
            rod((-95, 40, side * 75), (-115, 70, side * 8), (9.0, 7.0)),
            rod((-105, 10, side * 80), (-150, 5, side * 60), (13.0, 10.0)),
        ]
    return rods


def _shoulder(torso: Torso, upper: np.ndarray, side: int) -> list[Rod]:
    """Shoulder blade, collarbone and head of the arm."""
    middle, half = torso.at(float(upper[0]) - 60)
    joint = np.array([upper[0] - 10, middle[0] - 0.25 * half[0], middle[1] + side * (half[1] + 5)])
    blade = [joint, np.array([upper[0] - 150, middle[0] - 0.85 * half[0], middle[1] + side * 75])]
    collar = [
        joint + np.array([15, 20, 0]),
        np.array([upper[0] - 10, middle[0] + 0.45 * half[0], middle[1] + side * 15]),
    ]
    arm = [joint + np.array([-5, 5, side * 22]), joint + np.array([-110, 5, side * 45])]
    return [
        *_chain(blade, (34.0, 4.0), (0, 1, -0.6 * side)),
        *_chain(collar, (6.0, 6.0), (1, 0, 0)),
        *_chain(arm, (19.0, 19.0), (0, 1, 0)),
    ]


def _chain(
    points: Sequence[np.ndarray], radii: tuple[float, float], flat: tuple[float, float, float]
) -> list[Rod]:
    return [Rod(_point(a), _point(b), radii, flat) for a, b in itertools.pairwise(points)]


def _point(place: np.ndarray) -> tuple[float, float, float]:
    d, h, w = map(float, place)
    return d, h, w


def _paint(painter: Painter, grid: Grid, rods: Sequence[Rod]) -> None:
    upright = Frame(np.zeros(3), np.eye(3))
    bone = shape_rods(grid, upright, rods, 0.8 + painter.patient.cortex)
    if bone is not None:
        painter.plain(bone, 0)


def nearness(grid: Grid, spine: Sequence[PlacedVertebra]) -> np.ndarray:
    """1 at the spine, 0 away from it, float32 `d h w`: where its own surroundings are painted."""
    places = np.array(sorted((v.frame.centre for v in spine), key=lambda p: p[0]))
    z = grid.axis(0)
    y = grid.axis(1)[None, :, None] - np.interp(z, places[:, 0], places[:, 1])[:, None, None]
    x = grid.axis(2)[None, None, :] - np.interp(z, places[:, 0], places[:, 2])[:, None, None]
    aside = ramp(np.abs(x), 62, 44)
    along = ramp(y, 58, 40) * ramp(y, -95, -75)
    ends = ramp(z, places[0, 0] - 30, places[0, 0])[:, None, None]
    ends = ends * ramp(z, places[-1, 0] + 25, places[-1, 0])[:, None, None]
    return (aside * along * ends).astype(np.float32)
