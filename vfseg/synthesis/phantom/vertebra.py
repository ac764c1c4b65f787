"""The bone of one vertebra as a signed distance: body, arch, processes; and of the ribs."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vfseg.data.box import Box, box_between, intersection, is_empty, shape_of, start_of, within
from vfseg.synthesis.phantom.fractures import Fracture
from vfseg.synthesis.phantom.lookalikes import LookAlikes
from vfseg.synthesis.phantom.shapes import (
    Frame,
    Grid,
    Local,
    Ripple,
    Rod,
    ellipse_distance,
    ramp,
    smooth_max,
    smooth_min,
)
from vfseg.synthesis.phantom.spine import PlacedVertebra, Size

_FAR = np.float32(30)  # "nowhere near" in mm


@dataclass(frozen=True, eq=False)
class BodyShape:
    """Signed distances of one vertebral body in its tight box.

    Attributes:
        frame: of the vertebra.
        box: box of the grid.
        local: coordinates (up, front, right) of its voxels in the vertebra's frame, mm.
        distance: to the surface of the body, mm, negative inside.
        below_top, above_bottom: distances to the sunken endplates, mm, positive inside.
        top, bottom: heights of the sunken endplates over every voxel, mm.
    """

    frame: Frame
    box: Box
    local: Local
    distance: np.ndarray
    below_top: np.ndarray
    above_bottom: np.ndarray
    top: np.ndarray
    bottom: np.ndarray


@dataclass(frozen=True, eq=False)
class Bone:
    """Signed distance of a bone in its box, and thickness of its cortex, mm."""

    box: Box
    distance: np.ndarray
    cortex: np.ndarray


@dataclass(frozen=True, eq=False)
class Cortex:
    """The shell of a vertebral body.

    Attributes:
        thickness: mm, where it is even.
        roughness: field by which it is uneven.
        healed: after a fracture it is thicker.
        uneven: how much, SD as a fraction of the thickness.
    """

    thickness: float
    roughness: Ripple
    healed: bool
    uneven: float


def shape_body(
    grid: Grid, vertebra: PlacedVertebra, fracture: Fracture | None, extras: LookAlikes
) -> BodyShape | None:
    """Evaluates the body; None where it lies outside the grid."""
    size = vertebra.size
    reach = np.array([size.height / 2 + 2, size.depth / 2 + 3, size.width / 2 + 3])
    if fracture is not None:
        reach[1] += fracture.retropulsion
    corners = np.array([[u, f, r] for u in (-1, 1) for f in (-1, 1) for r in (-1, 1)]) * reach
    box = grid.box(vertebra.frame.to_patient(corners), 1.5)
    if box is None:
        return None
    up, front, right = local = grid.local(box, vertebra.frame)
    half_depth, half_width = np.float32(size.depth / 2), np.float32(size.width / 2)

    # Endplates: tilted, hollow inside the rim, dented by Schmorl nodes, sunk by the fracture.
    f, r = front / half_depth + np.float32(0.1), right / half_width
    hollow = np.maximum(1 - f * f - r * r, 0)
    top = np.float32(size.height / 2) + np.float32(size.tilt) * front
    bottom = -top
    # The lower endplate is deepest on both sides of the midline, towards the back.
    cupid = 1 + 0.35 * np.cos(4.5 * r) * ramp(f, 0.3, -0.6) if size.lumbar > 0.5 else 1
    top = top - np.float32(size.concavity[0]) * hollow - extras.dents(front, right, 1)
    bottom = bottom + np.float32(size.concavity[1]) * hollow * (2 - cupid)
    bottom = bottom + extras.dents(front, right, -1)
    if fracture is not None:
        top = top - fracture.sink(size, front, right, 1)
        bottom = bottom + fracture.sink(size, front, right, -1)
    top = np.maximum(top, bottom + 4)

    # Walls: an ellipse that is widest behind its middle, narrow at mid-height, cut off behind.
    middle, half = (top + bottom) / 2, (top - bottom) / 2
    s = np.clip((up - middle) / half, -1, 1)
    narrow = 1 - np.float32(size.waist) * (1 - s * s) ** 2
    back = -0.12 * size.depth
    heart = 1 - np.float32(0.14 * (1 - size.lumbar)) * ramp(front, back, size.depth / 2)
    wall = ellipse_distance(
        front - np.float32(back), right, narrow * np.float32(0.62 * size.depth),
        narrow * heart * half_width,
    )  # fmt: skip
    hollow_back = np.maximum(1 - np.square(right / np.float32(0.4 * size.canal_width)), -1.2)
    behind = -(front + half_depth) + np.float32(1.6) * hollow_back + 1.0 * (1 - s * s)
    if fracture is not None and fracture.buckle:
        # The upper third of the anterior wall gives way and steps forward.
        side = 1 if fracture.loss[0] >= fracture.loss[1] else -1
        crease = np.exp(-np.square((s - side * 0.55) * half / 2.2))
        wall = wall - np.float32(fracture.buckle) * crease * ramp(front, 0, size.depth / 2)
    if fracture is not None and fracture.retropulsion:
        # The upper half of the posterior wall is pushed into the canal.
        bulge = np.exp(-np.square((s - 0.45) * 1.8)) * ramp(np.abs(right), size.width / 2, 0)
        behind = behind - np.float32(fracture.retropulsion) * bulge
    wall = wall + extras.wall_relief(up, front, right)
    below_top, above_bottom = top - up, up - bottom
    plates = smooth_max(-below_top, -above_bottom, 0.5)
    rounding = 1.4 if fracture is None or fracture.spec.acute else 3.0
    distance = smooth_max(smooth_max(wall, behind, 3.0), plates, rounding)
    return BodyShape(vertebra.frame, box, local, distance, below_top, above_bottom, top, bottom)


def shape_bone(
    grid: Grid,
    vertebra: PlacedVertebra,
    body: BodyShape,
    rods: Sequence[Rod],
    cortex: Cortex,
) -> Bone:
    """Joins the body and the rods of arch, processes and osteophytes to one bone.

    The cortex is thin and uneven around the body, thicker around arch and processes.
    """
    placed = _place(grid, vertebra.frame, rods)
    box = _hull([body.box, *(part for _, part in placed)])
    distance = _join(grid, vertebra.frame, placed, box)
    inner = within(body.box, box)
    local, size = grid.local(box, vertebra.frame), vertebra.size
    relief = arch_relief(cortex, local)
    distance += 0.7 * relief
    canal = ellipse_distance(
        local[1] + np.float32((size.depth + size.canal_depth) / 2), local[2],
        size.canal_depth / 2, size.canal_width / 2,
    )  # fmt: skip
    distance = smooth_max(distance, -canal, 1.5)
    thickness = arch_shell(cortex, relief)
    near = np.clip(0.5 + (distance[inner] - body.distance) / 4, 0, 1)
    thickness[inner] += near * (body_shell(cortex, body) - thickness[inner])
    distance[inner] = smooth_min(distance[inner], body.distance, 4.5)
    return Bone(box, distance, thickness)


def arch_relief(cortex: Cortex, local: Local) -> np.ndarray:
    """Unevenness of arch and processes, SD about 1."""
    roughness = cortex.roughness
    return Ripple(roughness.waves[:4] * 0.7, roughness.phases[:4]).at(*local)


def arch_shell(cortex: Cortex, relief: np.ndarray) -> np.ndarray:
    """Thickness of the cortex of arch and processes, mm."""
    return np.float32(0.8 + 0.5 * cortex.thickness) * np.clip(1 - 0.35 * relief, 0.4, 1.9)


def body_shell(cortex: Cortex, body: BodyShape) -> np.ndarray:
    """Thickness of the cortex of a body, mm."""
    up, front, right = body.local
    uneven = np.clip(1 + cortex.uneven * cortex.roughness.at(up, front, right), 0.35, 1.8)
    shell = np.float32(cortex.thickness * (1.7 if cortex.healed else 1)) * uneven
    # Endplates are a little thicker than the anterior and lateral walls.
    return shell * (0.8 + 0.6 * ramp(np.minimum(body.below_top, body.above_bottom), 3, 1))


def shape_rods(grid: Grid, frame: Frame, rods: Sequence[Rod], cortex: float) -> Bone | None:
    """Joins rods to a bone of even cortex; None where it lies outside the grid."""
    placed = _place(grid, frame, rods)
    if not placed:
        return None
    box = _hull([part for _, part in placed])
    distance = _join(grid, frame, placed, box)
    return Bone(box, distance, np.full_like(distance, cortex))


def carve(bone: Bone, others: Sequence[Bone], gap: float) -> None:
    """Keeps a bone `gap` mm away from the bones already there (joints); changes it in place."""
    for other in others:
        common = intersection(bone.box, other.box)
        if not is_empty(common):
            view = bone.distance[within(common, bone.box)]
            view[...] = np.maximum(
                view, np.float32(gap) - other.distance[within(common, other.box)]
            )


def seat_spurs(spurs: Sequence[Rod], size: Size, fracture: Fracture | None) -> list[Rod]:
    """Osteophytes moved along with the rim where an endplate has sunk."""
    if fracture is None:
        return list(spurs)
    seated = []
    for spur in spurs:
        up, front, right = spur.start
        side = 1 if up > 0 else -1
        sink = fracture.sink(size, np.array([front]), np.array([right]), side)
        shift = np.array([-side * float(np.max(sink)), 0, 0])
        start, stop = spur.ends + shift
        seated.append(replace(spur, start=tuple(start), stop=tuple(stop)))
    return seated


def posterior_rods(rng: np.random.Generator, level: str, size: Size) -> list[Rod]:
    """Pedicles, articular processes, laminae, spinous and transverse processes of a vertebra.

    Coordinates are (up, front, right) in mm from the centre of the body.
    """
    lumbar, h = size.lumbar, size.height

    def mix(thoracic: float, low: float) -> float:
        return thoracic + (low - thoracic) * lumbar

    thick = mix(2.7, 4.6) + (1.6 if level == "L5" else 0) + rng.normal(0, 0.3)
    wall = -size.depth / 2
    roof = wall - size.canal_depth
    length = mix(25, 30) + rng.normal(0, 2.5)
    drop = mix(30 if level in ("T5", "T6", "T7", "T8", "T9") else 22, 6) + rng.normal(0, 2)
    rods = []
    for side in (-1.0, 1.0):
        inner = size.canal_width / 2
        root = side * (inner + thick)
        mass = (0.1 * h, wall - mix(10, 13), side * (inner + mix(2.5, 3.5)))
        rods += [
            Rod((0.24 * h, wall + 4, root),
                (0.2 * h, wall - mix(8, 9), side * (inner + thick * 0.9)),
                (thick, mix(5.4, 7.4))),
            Rod(mass, (0.62 * h, wall - mix(9, 9.5), side * (inner + mix(0.5, 4.5))),
                (mix(3.1, 4.6), mix(4.8, 6.2)), (0.2, 1, 0.4 * side)),
            Rod(mass, (-0.74 * h, roof + mix(2, 0.5), side * (inner + mix(0.5, 2.0))),
                (mix(3.0, 4.8), mix(5.0, 6.2)), (0, 1, 0.3 * side)),
            Rod((0.02 * h, wall - mix(10, 11), side * (inner + 1.0)), (-0.3 * h, roof - 2.6, 0.0),
                (3.0, mix(8.5, 9.5)), (0, 0.8, 0.7 * side)),
            Rod((mix(0.12, 0.1) * h, wall - mix(10, 9), side * (inner + 3)),
                (mix(5, 2) + rng.normal(0, 1), wall - mix(21, 11) + rng.normal(0, 1),
                 side * (inner + mix(21, 29) * rng.uniform(0.85, 1.05))),
                (mix(4.2, 2.8), mix(5.0, 5.0)), (0, 1, 0), 0.85),
        ]  # fmt: skip
    # Two rods make the spinous process a blade that ends thicker and lower than it begins.
    tip = (-0.22 * h - drop, roof - 3 - length, rng.normal(0, 1.2))
    low = (tip[0] - mix(1.5, 5), tip[1] + mix(2, rng.uniform(1, 5)), tip[2])
    rods += [
        Rod((-0.12 * h, roof - 3, 0.0), tip, (mix(2.4, 2.9), mix(4.0, 5.4)), (0, 0, 1), 1.25),
        Rod((-0.4 * h, roof - 4, 0.0), low, (mix(2.4, 2.8), mix(3.8, 5.8)), (0, 0, 1), 1.3),
    ]
    return rods


def rib_rods(rng: np.random.Generator, level: str, size: Size) -> list[list[Rod]]:
    """Left and right rib of a thoracic level as chains of rods; none elsewhere."""
    if not level.startswith("T"):
        return []
    floating = level in ("T11", "T12", "T13")
    wall, half = -size.depth / 2, size.width / 2
    ribs = []
    for side in (-1.0, 1.0):
        points = np.array([
            (0.36 * size.height, wall + 4.5, side * (half + 1.5)),
            (0.3 * size.height, wall - 6, side * (half + 9)),
            (0.1 * size.height, wall - 17 + 4 * floating, side * (half + 22)),
            (-0.35 * size.height, wall - 22 + 4 * floating, side * (half + 40)),
            (-1.1 * size.height, wall - 14, side * (half + 62)),
            (-1.8 * size.height, wall + 6, side * (half + 80)),
        ])  # fmt: skip
        points[1:] += rng.normal(0, 0.8, 3)
        ribs.append([
            Rod(tuple(a), tuple(b), (2.7, 4.6 if i else 3.9), (0, 1, 0.5 * side))
            for i, (a, b) in enumerate(itertools.pairwise(points))
        ])  # fmt: skip
    return ribs


def sacral_rods(size: Size) -> list[Rod]:
    """Wings and the next segment of the sacrum, seen at the lower edge under L5."""
    wall, h = -size.depth / 2, size.height
    rods = [Rod((-0.3 * h, 2, 0.0), (-1.3 * h, -3, 0.0), (size.width * 0.4, 12), (0, 0, 1), 0.8)]
    for side in (-1.0, 1.0):
        rods += [
            Rod((0.1 * h, wall + 12, side * 0.3 * size.width), (-0.2 * h, wall + 2, side * 55.0),
                (13, 11), (0, 1, 0)),
            Rod((0.2 * h, wall - 8, side * 17), (0.8 * h, wall - 11, side * 20), (4, 5), (0, 1, 0)),
            Rod((0, wall - 6, side * 17), (-0.6 * h, wall - 16, 0.0), (3, 10),
                (0, 0.8, 0.7 * side)),
        ]  # fmt: skip
    return rods


def _place(grid: Grid, frame: Frame, rods: Sequence[Rod]) -> list[tuple[Rod, Box]]:
    boxes = [(rod, grid.box(frame.to_patient(rod.ends), rod.reach + 3)) for rod in rods]
    return [(rod, box) for rod, box in boxes if box is not None]


def _join(grid: Grid, frame: Frame, placed: Sequence[tuple[Rod, Box]], box: Box) -> np.ndarray:
    distance = np.full(shape_of(box), _FAR, np.float32)
    for rod, part in placed:
        view = distance[within(part, box)]
        view[...] = smooth_min(view, rod.distance(grid.local(part, frame)), 2.5)
    return distance


def _hull(boxes: Sequence[Box]) -> Box:
    """Smallest box that holds all of them."""
    start = np.min([start_of(box) for box in boxes], axis=0)
    return box_between(start, np.max([[side.stop for side in box] for box in boxes], axis=0))
