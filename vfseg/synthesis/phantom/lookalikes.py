"""Look-alikes of fractures: painted in the CT, never in the fracture mask."""

from dataclasses import dataclass, field

import numpy as np

from vfseg.synthesis.phantom.fractures import FLECK_HALF_DEPTH, FLECK_THICKNESS
from vfseg.synthesis.phantom.shapes import Local, Ripple, Rod, coverage, ramp
from vfseg.synthesis.phantom.spine import Patient, Size


@dataclass(frozen=True)
class Dent:
    """A Schmorl node: the disc pushes a pit with a dense rim into an endplate (`side` of it)."""

    side: int
    front: float
    right: float
    depth: float
    radius: float


@dataclass(frozen=True)
class Spot:
    """An ellipsoid of other density: bone island, fleck, cement or vein (a long thin one)."""

    centre: tuple[float, float, float]
    half_axes: tuple[float, float, float]
    hounsfield: float


@dataclass(frozen=True, eq=False)
class Sclerosis:
    """Dense bone against an endplate that fades with depth."""

    side: int
    front: float
    right: float
    radius: float
    depth: float
    hounsfield: float
    outline: Ripple


@dataclass(frozen=True, eq=False)
class Haemangioma:
    """A round region of fat with few coarse upright trabeculae."""

    centre: tuple[float, float, float]
    radius: float
    columns: Ripple


@dataclass(frozen=True, eq=False)
class LookAlikes:
    """The look-alikes of one vertebra.

    `veins` are dark canals through bone and cortex (basivertebral vein, nutrient foramina), `spots`
    are inside the bone, `spurs` (osteophytes) are joined to it and belong to the vertebra.
    """

    nodes: tuple[Dent, ...] = ()
    veins: tuple[Rod, ...] = ()
    spots: tuple[Spot, ...] = ()
    spurs: tuple[Rod, ...] = ()
    scleroses: tuple[Sclerosis, ...] = ()
    haemangiomas: tuple[Haemangioma, ...] = ()
    relief: Ripple | None = None
    names: tuple[str, ...] = field(default=())

    def dents(self, front: np.ndarray, right: np.ndarray, side: int) -> np.ndarray | float:
        """Depth in mm of the Schmorl nodes in an endplate."""
        total: np.ndarray | float = 0.0
        for node in self.nodes:
            if node.side == side:
                r2 = np.square(front - np.float32(node.front)) + np.square(
                    right - np.float32(node.right)
                )
                total = total + np.float32(node.depth) * ramp(
                    np.sqrt(r2), 1.35 * node.radius, 0.35 * node.radius
                )
        return total

    def wall_relief(
        self, up: np.ndarray, front: np.ndarray, right: np.ndarray
    ) -> np.ndarray | float:
        """Unevenness of the walls in mm."""
        return 0.3 * self.relief.at(up, front, right) if self.relief is not None else 0.0

    def paint(
        self,
        bone: np.ndarray,
        local: Local,
        below_top: np.ndarray,
        above_bottom: np.ndarray,
        width: float,
    ) -> None:
        """Changes the HU inside a body in place.

        Args:
            bone: HU of the box of the body, float32 `d h w`.
            local: coordinates of its voxels.
            below_top: distances to the upper endplate, mm.
            above_bottom: distances to the lower one, mm.
            width: over which a surface passes through a voxel, mm.
        """
        up, front, right = local
        for s in self.scleroses:
            depth = below_top if s.side > 0 else above_bottom
            r = np.sqrt(
                np.square(front - np.float32(s.front)) + np.square(right - np.float32(s.right))
            )
            r = r * (1 + 0.2 * s.outline.at(front, right))
            bone += (
                np.float32(s.hounsfield)
                * ramp(depth, s.depth, 0)
                * ramp(r, s.radius, 0.5 * s.radius)
            )
        for node in self.nodes:
            depth = below_top if node.side > 0 else above_bottom
            r = np.sqrt(
                np.square(front - np.float32(node.front))
                + np.square(right - np.float32(node.right))
            )
            bone += 160 * ramp(depth, 2.2, 0.6) * ramp(r, 2 * node.radius, node.radius)
        for h in self.haemangiomas:
            u, f, r = (axis - np.float32(c) for axis, c in zip((up, front, right), h.centre))
            inside = ramp(np.sqrt(u * u + f * f + r * r), h.radius, 0.8 * h.radius)
            columns = 230 * ramp(h.columns.at(front, right), 0.6, 1.4) - 10
            bone += inside * (columns - bone)
        for spot in self.spots:
            u, f, r = (
                (axis - np.float32(c)) / np.float32(a)
                for axis, c, a in zip((up, front, right), spot.centre, spot.half_axes)
            )
            q = np.sqrt(u * u + f * f + r * r)
            cover = coverage((q - 1) * np.float32(min(spot.half_axes)), width)
            bone += np.float32(spot.hounsfield) * cover


def draw_lookalikes(
    rng: np.random.Generator, size: Size, patient: Patient, healed: bool, flecks: bool
) -> LookAlikes:
    """Draws the look-alikes of a vertebra.

    Args:
        rng: of the look-alikes.
        size: of the vertebra.
        patient: degeneration makes some more frequent.
        healed: whether it carries an old deformity.
        flecks: whether every vertebra holds flecks, as they are where fractures are ribbons.
    """
    h, half_depth, half_width = size.height, size.depth / 2, size.width / 2
    worn = patient.degeneration
    names = ["basivertebral vein"]

    def chance(probability: float, name: str) -> bool:
        if rng.random() >= probability:
            return False
        names.append(name)
        return True

    def inside(extent: float) -> tuple[float, float, float]:
        u, f, r = rng.uniform(-extent, extent, 3)
        return u * h / 2, f * half_depth * 0.8, r * half_width * 0.8

    nodes: list[Dent] = []
    while chance(0.13, "Schmorl node") and len(nodes) < 2:
        nodes.append(Dent(
            side=int(rng.choice((-1, 1))),
            front=float(rng.uniform(-0.5, 0.3)) * half_depth,
            right=float(rng.uniform(-0.35, 0.35)) * half_width,
            depth=float(rng.uniform(2.0, 4.5)),
            radius=float(rng.uniform(3.0, 5.0)),
        ))  # fmt: skip

    bore = float(rng.uniform(0.6, 1.5))
    reach = float(rng.uniform(-0.35, 0.15)) * half_depth
    level = float(rng.normal(0, 1))
    veins = [Rod((level, -half_depth - 1, 0.0), (level, reach, 0.0), (1.2 * bore, 2.2 * bore),
                 (1, 0, 0), 0.6)]  # fmt: skip
    for side in (-1, 1):
        veins.append(
            Rod((level, reach - 5, 0.0),
                (level + rng.normal(0, 1), reach + 4, side * rng.uniform(3, 7)),
                (0.8 * bore, 0.9 * bore), (1, 0, 0), 0.6)
        )  # fmt: skip
    while chance(0.5, "nutrient foramen") and len(veins) < 6:
        angle = rng.uniform(-0.6 * np.pi, 0.6 * np.pi)
        out = np.array([rng.uniform(-0.2, 0.2) * h, np.cos(angle), np.sin(angle)])
        out[1:] *= (half_depth, half_width)
        inner = out * (1, 0.7, 0.7)
        veins.append(Rod(tuple(out), tuple(inner), (0.8, 1.0), (1, 0, 0)))

    if chance(0.03, "limbus vertebra"):  # a corner parted from the body by a dark cleft
        r = rng.uniform(-0.3, 0.3) * half_width
        veins.append(Rod((h / 2 - 7, half_depth + 1, r), (h / 2 + 1, half_depth - 7, r),
                         (7.0, 0.8), (0, 0, 1)))  # fmt: skip

    spots = []
    if healed and chance(0.2, "cement"):
        for _ in range(4):
            u, f, r = inside(0.6)
            spots.append(Spot((0.6 * u, f, r), tuple(rng.uniform(2, 5, 3)), 1500.0))
    while chance(0.15, "bone island") and len(spots) < 2:
        a = rng.uniform(1.5, 3.5)
        spots.append(
            Spot(inside(0.8), tuple(a * rng.uniform(0.6, 1.2, 3)), float(rng.uniform(150, 450)))
        )
    if flecks:
        names.append("fleck")
        for _ in range(rng.poisson(4)):
            u, f, r = inside(1.0)
            sign = -1 if rng.random() < 0.25 else 1
            spots.append(Spot(
                (h / 2 - abs(u) * 0.5 - 3, 0.5 * f + 0.2 * half_depth, r),
                (rng.uniform(*FLECK_THICKNESS) / 2, rng.uniform(*FLECK_HALF_DEPTH),
                 rng.uniform(1.3, 1.9)),
                sign * float(rng.uniform(80, 240)),
            ))  # fmt: skip

    spurs = []
    if healed or chance(0.08 + 0.45 * worn, "osteophytes"):
        for side in (-1, 1):
            for _ in range(rng.integers(0, 4)):
                angle = rng.normal(0, 0.8)
                f, r = half_depth * np.cos(angle), half_width * np.sin(angle)
                u = side * (h / 2 + size.tilt * f)
                beak = rng.uniform(1.0, 4.0)
                spurs.append(Rod(
                    (u - side * 3.5, 0.9 * f - 0.5, 0.9 * r),
                    (u + side * rng.uniform(-1, 1.5), f * (1 + beak / half_depth),
                     r * (1 + beak / half_width)),
                    (1.6, 3.5), (np.sign(side), 0.3, 0), 0.6,
                ))  # fmt: skip

    scleroses = []
    for side in (-1, 1):
        if chance(0.08 + 0.32 * worn, "endplate sclerosis"):
            scleroses.append(Sclerosis(
                side=side,
                front=float(rng.uniform(-0.5, 0.7)) * half_depth,
                right=float(rng.uniform(-0.7, 0.7)) * half_width,
                radius=float(rng.uniform(0.4, 0.9)) * half_depth,
                depth=float(rng.uniform(3, 8)),
                hounsfield=float(rng.uniform(90, 300)),
                outline=Ripple.draw(rng, (6, 15), 2),
            ))  # fmt: skip
    haemangiomas = []
    if chance(0.05, "haemangioma"):
        haemangiomas.append(
            Haemangioma(inside(0.5), float(rng.uniform(4, 9)), Ripple.draw(rng, (3.5, 5.5), 2, 7))
        )
    return LookAlikes(
        nodes=tuple(nodes),
        veins=tuple(veins),
        spots=tuple(spots),
        spurs=tuple(spurs),
        scleroses=tuple(scleroses),
        haemangiomas=tuple(haemangiomas),
        relief=Ripple.draw(rng, (6, 20), 3),
        names=tuple(dict.fromkeys(names)),
    )
