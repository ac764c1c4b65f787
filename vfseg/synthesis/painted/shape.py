"""The bone of a vertebra in its real shape, and a fracture put into it."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vfseg.data.box import intersection, is_empty, within
from vfseg.synthesis.painted.rigid import Rigid
from vfseg.synthesis.painted.source import SourceBone
from vfseg.synthesis.phantom.fractures import Fracture
from vfseg.synthesis.phantom.lookalikes import LookAlikes
from vfseg.synthesis.phantom.shapes import Grid, Local, ramp, smooth_max, smooth_min
from vfseg.synthesis.phantom.spine import PlacedVertebra, Size
from vfseg.synthesis.phantom.vertebra import (
    BodyShape,
    Bone,
    Cortex,
    arch_relief,
    arch_shell,
    body_shell,
    seat_spurs,
    shape_rods,
)
from vfseg.synthesis.virtual_fractures.body import STEP_MM, BodyMap

_AROUND_MM = 5.0  # of a body, with its lips and spurs
_BLUNT_MM = 3.0  # an endplate that hardly sinks is left as the label map has it
_THINNEST_MM = 4.0


@dataclass(frozen=True, eq=False)
class PlacedBone:
    """A bone of a label map where it comes to lie.

    Attributes:
        bone: as the map has it; None where the phantom's vertebra stands in.
        moved: how it has moved.
        vertebra: its body, for the phantom's parts; None where none was measured.
    """

    bone: SourceBone | None
    moved: Rigid
    vertebra: PlacedVertebra | None


def plain_bone(grid: Grid, placed: PlacedBone, cortex: float) -> Bone | None:
    """The whole bone with a cortex that is everywhere as thick, mm; None outside the grid."""
    assert placed.bone is not None
    solid = placed.bone.solid
    box = grid.box(placed.moved.point(solid.corners()), 0)
    if box is None:
        return None
    distance = solid.on(grid, box, placed.moved)
    return Bone(box, distance, np.full_like(distance, cortex))


def shape_vertebra(
    grid: Grid,
    placed: PlacedBone,
    fracture: Fracture | None,
    extras: LookAlikes,
    cortex: Cortex,
) -> tuple[BodyShape, Bone] | None:
    """Body and whole bone of a vertebra whose body is measured; None where it is off the grid.

    What the fracture and the look-alikes do to the shape is what they do to the phantom's: the
    endplates sink, the walls buckle, spurs sit on the rims. Arch and processes stay.
    """
    assert placed.bone is not None
    assert placed.bone.body is not None
    assert placed.vertebra is not None
    body, vertebra = placed.bone.body, placed.vertebra
    size, frame = vertebra.size, vertebra.frame
    bone = plain_bone(grid, placed, 0.0)
    low, high = body.bottom[body.outline].min(), body.top[body.outline].max()
    corners = [
        (u, f, r)
        for u in (low - _AROUND_MM, high + _AROUND_MM)
        for f in (-size.depth / 2 - _AROUND_MM, size.depth / 2 + _AROUND_MM)
        for r in (-size.width / 2 - _AROUND_MM, size.width / 2 + _AROUND_MM)
    ]
    box = grid.box(frame.to_patient(np.array(corners)), 0)
    if bone is None or box is None:
        return None
    box = intersection(box, bone.box)
    if is_empty(box):
        return None
    inner = within(box, bone.box)
    up, front, right = local = grid.local(box, frame)
    top, bottom = (_plate(body, plate, front, right) for plate in (body.top, body.bottom))
    half = np.maximum(top - bottom, _THINNEST_MM) / 2
    s = np.clip((up - (top + bottom) / 2) / half, -1, 1)

    # Real surfaces are rough at a scale that no label map shows.
    distance = bone.distance[inner] + extras.wall_relief(up, front, right)
    if fracture is not None:
        distance = distance - _bulges(fracture, size, local, s, half)
    sunk = [
        extras.dents(front, right, side)
        + (fracture.sink(size, front, right, side) if fracture is not None else 0.0)
        + np.zeros_like(top)
        for side in (1, -1)
    ]
    new_top = np.maximum(top - sunk[0], bottom + sunk[1] + _THINNEST_MM)
    below_top, above_bottom = new_top - up, up - (bottom + sunk[1])
    behind = ramp(front, 1 - size.depth / 2, -1 - size.depth / 2)
    rounding = 1.0 if fracture is None or fracture.spec.acute else 3.0
    for inside, depth in zip((below_top, above_bottom), sunk):
        blunt = _BLUNT_MM * ramp(depth, 0.6, 0) + 30 * behind
        distance = smooth_max(distance, -inside - blunt, rounding)
    bone.distance[inner] = distance
    rods = seat_spurs(extras.spurs, size, fracture)
    spurs = shape_rods(grid, frame, rods, cortex.thickness)
    common = intersection(spurs.box, bone.box) if spurs is not None else None
    if spurs is not None and common is not None and not is_empty(common):
        view = bone.distance[within(common, bone.box)]
        view[...] = smooth_min(view, spurs.distance[within(common, spurs.box)], 2.0)

    shape = BodyShape(
        frame, box, local,
        np.maximum(bone.distance[inner], -(front + np.float32(size.depth / 2))),
        below_top, above_bottom, new_top, bottom + sunk[1],
    )  # fmt: skip
    shell = arch_shell(cortex, arch_relief(cortex, grid.local(bone.box, frame)))
    shell[inner] += (1 - behind) * (body_shell(cortex, shape) - shell[inner])
    return shape, Bone(bone.box, bone.distance, shell)


def _plate(body: BodyMap, heights: np.ndarray, front: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Height of an endplate over every voxel, mm."""
    index = [(front - body.front[0]) / STEP_MM, (right - body.right[0]) / STEP_MM]
    return ndimage.map_coordinates(heights.astype(np.float32), index, order=1, mode="nearest")


def _bulges(
    fracture: Fracture, size: Size, local: Local, s: np.ndarray, half: np.ndarray
) -> np.ndarray:
    """How far the walls of a broken body come out, mm; `s` is -1..1 from plate to plate."""
    _, front, right = local
    total = np.zeros_like(front)
    if fracture.buckle:
        # The upper third of the anterior wall gives way and steps forward.
        side = 1 if fracture.loss[0] >= fracture.loss[1] else -1
        crease = np.exp(-np.square((s - side * 0.55) * half / 2.2))
        total += np.float32(fracture.buckle) * crease * ramp(front, 0, size.depth / 2)
    if fracture.retropulsion:
        # The upper half of the posterior wall is pushed into the canal.
        bulge = np.exp(-np.square((s - 0.45) * 1.8)) * ramp(np.abs(right), size.width / 2, 0)
        total += np.float32(fracture.retropulsion) * bulge * ramp(front, 0, -size.depth / 2)
    return total
