"""The healthy spine: sizes of every level, the curve, and where each vertebra lies.

Sizes and normal wedging follow published morphometry: heights and depths grow from T4 to the lumbar
spine, bodies of T6-L2 are lower in front and those of L4-L5 behind (PMC2899959, table 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vfseg.data.body_sizes import BODY_MM
from vfseg.synthesis.phantom.appearance import COMMON, Appearance
from vfseg.synthesis.phantom.shapes import Frame

# The neighbours of T4..L5, at the edge of the field of view, are drawn but never labelled.
SPINE = ("T3", *(f"T{n}" for n in range(4, 13)), *(f"L{n}" for n in range(1, 6)), "S1")

# Supernumerary levels, and the level after which they come and whose size they share.
TRANSITIONAL = {"T13": "T12", "L6": "L5"}

# Per level of SPINE, mm and degrees: wedging (positive: lower in front); disc above; pitch
# (positive: the top leans back) of an average standing curve.
_WEDGE = (2.5, 3, 3.5, 4, 4, 3.8, 3.8, 3.2, 5, 4.2, 3.4, 1.7, 0.1, -1.9, -6.2, -9)
_DISC = (3.5, 3.5, 3.5, 3.5, 3.6, 3.8, 4, 4.4, 5, 5.8, 6.8, 8, 9, 10, 11, 10.5)
_PITCH = (-24, -21, -16, -10, -4, 2, 7, 11, 14, 15, 13, 7, -1, -10, -21, -40)
_CANAL_WIDTH = (17, 17, 17, 17, 17, 17, 17, 17.5, 18.5, 21, 22.5, 22.5, 23, 23.5, 25.5, 28)
_CANAL_DEPTH = (15.5, 15.5, 15.5, 15.5, 15.5, 15.5, 15.5, 15.5, 16, 17, 17, 16, 15.5, 16, 16.5, 14)


@dataclass(frozen=True)
class Size:
    """Size of one intact vertebra, mm.

    Attributes:
        height: mean height of the body at its rim.
        depth, width: front to back, side to side.
        wedge: angle between the endplates in degrees, positive where the front is lower.
        concavity: depth of the upper and the lower endplate's hollow.
        waist: how much the body narrows at mid-height, fraction of its half axes.
        canal_width, canal_depth: of the spinal canal.
        lumbar: 0 at T11 and above, 1 at L1 and below: shape of the posterior elements.
    """

    height: float
    depth: float
    width: float
    wedge: float
    concavity: tuple[float, float]
    waist: float
    canal_width: float
    canal_depth: float
    lumbar: float

    @property
    def tilt(self) -> float:
        """Slope of the upper endplate against mid-height; the lower one has the negative."""
        return -float(np.tan(np.radians(self.wedge) / 2))


@dataclass(frozen=True, eq=False)
class PlacedVertebra:
    """One vertebra in place."""

    level: str
    size: Size
    frame: Frame


@dataclass(frozen=True)
class Patient:
    """What all vertebrae of a case share.

    Attributes:
        age: years.
        trabecular: HU of trabecular bone at L1.
        cortex: thickness of the body's cortical shell in mm.
        degeneration: 0 (none) to 1 (osteophytes, sclerosis and narrow discs are common).
        contrast: HU that contrast medium adds to blood in the aorta; bone gets 15 to 20 HU.
        look: HU of the other tissues, and the texture of bone.
    """

    age: float
    trabecular: float
    cortex: float
    degeneration: float
    contrast: float
    look: Appearance = COMMON


def draw_patient(rng: np.random.Generator, fractures: int) -> Patient:
    """Draws a patient; bone density falls with age, and with the number of fractures.

    At L1 trabecular bone is about 226 ± 44 HU under 30 years and falls by 2.5 HU a year
    (Radiology 2019;291:360); patients with fragility fractures have 73 ± 30 HU.
    """
    age = rng.uniform(35, 92)
    healthy = max(226 - 2.5 * (age - 30), 80) + 38 * rng.standard_normal()
    frail = 88 + 30 * rng.standard_normal()
    frailty = min(fractures, 3) / 3 * rng.uniform(0.4, 1)
    contrast = rng.uniform(110, 260) if rng.random() < 0.35 else 0.0
    trabecular = float(np.clip((1 - frailty) * healthy + frailty * frail, 35, 280))
    trabecular += (contrast > 0) * (15 + 5 * (contrast - 110) / 150)
    return Patient(
        age=age,
        trabecular=trabecular,
        cortex=float(np.clip(0.38 + 0.0022 * trabecular + rng.normal(0, 0.06), 0.4, 1.0)),
        degeneration=float(np.clip((age - 45) / 50 + rng.normal(0, 0.15), 0, 1)),
        contrast=contrast,
    )


def draw_spine(
    rng: np.random.Generator,
    levels: Sequence[str],
    patient: Patient,
    settling: Mapping[str, tuple[float, float]],
    curve: float = 0.0,
) -> list[PlacedVertebra]:
    """Stacks the vertebrae of `levels` (cranial to caudal) from below along a drawn curve.

    Args:
        rng: source of the sizes and the curve.
        levels: levels of SPINE, contiguous, with those of TRANSITIONAL in their places.
        patient: degeneration narrows the discs.
        settling: fractured level -> how far the spine above comes down (mm) and tips forward
            (degrees).
        curve: degrees by which vertebrae lean more to the side than a straight spine's do, at most.

    Returns:
        The vertebrae in the order of `levels`; the lowest lies at the origin.
    """
    scale = rng.uniform(0.97, 1.19)
    flat = rng.uniform(0.6, 1.3, 2)  # of the lordosis and of the kyphosis
    lean = rng.normal(0, 3)
    waist = rng.uniform(0.07, 0.13)
    scoliosis = (np.abs(rng.normal(0, 3.5)) + curve) * rng.choice((-1, 1))
    bend = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.7)
    sizes = {level: _draw_size(rng, level, scale, waist) for level in SPINE}
    jitter = {level: rng.normal(0, (1.2, 0.8, 1.5), 3) for level in SPINE}
    discs = {level: rng.uniform(0.8, 1.1) - 0.45 * patient.degeneration * rng.random()
             for level in SPINE}  # fmt: skip
    for extra, neighbour in TRANSITIONAL.items():
        sizes[extra], jitter[extra] = sizes[neighbour], jitter[neighbour]
        discs[extra] = discs[neighbour]

    vertebrae: list[PlacedVertebra] = []
    tipped = 0.0
    for level in reversed(levels):
        k = _row(level)
        pitch = _PITCH[k] * (flat[0] if _PITCH[k] > 0 or k > 9 else flat[1]) + lean - tipped
        roll = scoliosis * np.cos(bend[0] + bend[1] * k)
        pitch, roll, yaw = np.array([pitch, roll, -0.6 * roll]) + jitter[level]
        size = sizes[level]
        frame = Frame(np.zeros(3), turned_axes(pitch, roll, yaw))
        if vertebrae:
            below = vertebrae[-1]
            sunk = settling.get(below.level, (0.0, 0.0))[0]
            disc = _DISC[_row(below.level)] * scale * discs[below.level]
            between = below.frame.axes[0] + frame.axes[0]
            frame = frame.moved(
                below.frame.centre
                + below.frame.axes[0] * (below.size.height / 2 - sunk)
                + between / np.linalg.norm(between) * disc
                + frame.axes[0] * size.height / 2
            )
        vertebrae.append(PlacedVertebra(level, size, frame))
        tipped = 0.8 * tipped + settling.get(level, (0.0, 0.0))[1]
    return vertebrae[::-1]


def with_transitional(levels: Sequence[str], extra: str | None) -> tuple[str, ...]:
    """Levels with a supernumerary one in its place, if its upper neighbour is among them."""
    if extra is None or TRANSITIONAL[extra] not in levels:
        return tuple(levels)
    at = levels.index(TRANSITIONAL[extra]) + 1
    return (*levels[:at], extra, *levels[at:])


def usual_size(level: str) -> Size:
    """Mean size of a level of SPINE, its endplates flat."""
    k = _row(level)
    height, depth, width = BODY_MM[SPINE[k]]
    return Size(
        height=height,
        depth=depth,
        width=width,
        wedge=_WEDGE[k],
        concavity=(0.0, 0.0),
        waist=0.1,
        canal_width=_CANAL_WIDTH[k],
        canal_depth=_CANAL_DEPTH[k],
        lumbar=_lumbar(k),
    )


def usual_disc(level: str) -> float:
    """Mean height of the disc above a level of SPINE, mm."""
    return _DISC[_row(level)]


def _row(level: str) -> int:
    """Row of a level in the tables."""
    return SPINE.index(TRANSITIONAL.get(level, level))


def _draw_size(rng: np.random.Generator, level: str, scale: float, waist: float) -> Size:
    k = SPINE.index(level)
    height, depth, width = BODY_MM[level]
    hollow = 0.6 + 0.02 * depth
    size = Size(
        height=height * scale,
        depth=depth * scale,
        width=width * scale,
        wedge=_WEDGE[k] + rng.normal(0, 1.2),
        concavity=(hollow * rng.uniform(0.7, 1.3), hollow * rng.uniform(0.9, 1.7)),
        waist=waist * rng.uniform(0.8, 1.2),
        canal_width=_CANAL_WIDTH[k] * (0.5 + 0.5 * scale),
        canal_depth=_CANAL_DEPTH[k] * (0.5 + 0.5 * scale),
        lumbar=_lumbar(k),
    )
    factors = rng.normal(1, 0.02, 3)
    return replace(
        size,
        height=size.height * factors[0],
        depth=size.depth * factors[1],
        width=size.width * factors[2],
    )


def _lumbar(k: int) -> float:
    return float(np.clip((k - SPINE.index("T11")) / 2, 0, 1))


def turned_axes(pitch: float, roll: float, yaw: float) -> np.ndarray:
    """Rows up, front, right of a frame turned by angles in degrees.

    Pitch leans the top back, roll leans it to the right, yaw turns the front to the right. SciPy's
    `Rotation` goes through a quaternion, which gives other last bits; cohorts are compared by hash.
    """
    p, r, y = np.radians([pitch, roll, yaw])
    cos, sin = np.cos, np.sin
    turn = np.array([[1, 0, 0], [0, cos(y), sin(y)], [0, -sin(y), cos(y)]])
    lean_side = np.array([[cos(r), 0, sin(r)], [0, 1, 0], [-sin(r), 0, cos(r)]])
    lean_back = np.array([[cos(p), -sin(p), 0], [sin(p), cos(p), 0], [0, 0, 1]])
    return turn @ lean_side @ lean_back
