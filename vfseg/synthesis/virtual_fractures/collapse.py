"""How a body collapses: its columns get shorter, and nothing but the body moves.

Each column of the vertebra's frame is mapped forward along the axis, u -> u - e(u):

    superior endplate   e is its sinking: the plate, the rim and what overhangs it (osteophytes)
                        move as one
    below it            e falls to 0 over the crushed zone
    inferior endplate   e is 0, or minus its rise where it gives way

Inside the body the crushed zone is long enough for e' to stay below `STEEPEST`: every column is
strictly increasing, and so is its inverse, the backward map that samples the CT. A body ends
between its own bone and the neighbour's, in the middle where they are close: from there on nothing
moves, so neighbours, labelled or not, and the arch stay as they are to the bit. Where an endplate
was, a gap opens, which the disc fills. A second map bulges the anterior wall along the front axis
with a slope below 1/2. The Jacobian of the whole is the product of the two slopes: positive.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vfseg.synthesis.phantom.fractures import Fracture
from vfseg.synthesis.phantom.shapes import Local, coverage, ramp
from vfseg.synthesis.virtual_fractures.body import STEP_MM, BodyMap, Surroundings

FRONT_MM = 13.0
"""How far in front of the anterior wall tissue moves; elsewhere it is the width of a halo."""

STEEPEST = 0.85
_PLATE_MM = 1.5  # the endplate itself moves as one
_OVERHANG_MM = 8.0  # thickest osteophyte
_CRUSHED_MM = 9.0
_ARCH_MM = (1.0, 7.0)  # from the roots of the arch the endplate gives way by and by
_BEHIND_MM = 2.5  # the arch begins this far behind the posterior wall, which is hollow
_NEGLIGIBLE_MM = 2e-3


class Backward(NamedTuple):
    """Where the places of a box come from.

    Attributes:
        rise, forth: along up and front from where a place is to where it came from, mm.
        opened: fraction of each voxel in the gap that the collapse opens, 0..1.
    """

    rise: np.ndarray
    forth: np.ndarray
    opened: np.ndarray


@dataclass(frozen=True, eq=False)
class Collapse:
    """Where every voxel comes from. Lengths in mm, in the frame of the body.

    Attributes:
        body: before the fracture.
        up: [u] coordinates of the field along the axis.
        shift: [u, f, r] of a place after the fracture: it came from `u + shift`.
        top, bottom: [f, r] the endplates afterwards.
        high, low: [f, r] where the body ended above and below, before.
        sink, lift: [f, r] how far these ends came down and up.
        buckle: bulge of the anterior wall, the height of its step, and where it ends above.
    """

    body: BodyMap
    up: np.ndarray
    shift: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    high: np.ndarray
    low: np.ndarray
    sink: np.ndarray
    lift: np.ndarray
    buckle: tuple[float, float, float]

    def heights(self) -> np.ndarray:
        """Anterior, middle and posterior height after the fracture, [3]."""
        return self.body.at_sites(self.top - self.bottom)

    def backward(self, local: Local, width: float) -> Backward:
        """Where places come from; `width` is that of a voxel along the axis, mm."""
        up, front, right = local
        bulge = self._bulge(up, front, right)
        index = [
            (axis - start) / STEP_MM
            for axis, start in (
                (up, self.up[0]),
                (front - bulge, self.body.front[0]),
                (right, self.body.right[0]),
            )
        ]
        rise = ndimage.map_coordinates(self.shift, index, order=1, mode="nearest")
        high, low, sink, lift = (
            ndimage.map_coordinates(columns, index[1:], order=1, mode="nearest")
            for columns in (self.high, self.low, self.sink, self.lift)
        )
        moves = (up > low + lift) & (up < high - sink) & (sink + lift > _NEGLIGIBLE_MM)
        opened = coverage(up - high, width) - coverage(up - high + sink, width)
        opened += coverage(up - low - lift, width) - coverage(up - low, width)
        rise = np.where(moves, rise, 0).astype(np.float32)
        return Backward(rise, -bulge, opened.astype(np.float32))

    def _bulge(self, up: np.ndarray, front: np.ndarray, right: np.ndarray) -> np.ndarray:
        size, height, end = self.buckle
        if size <= 0:
            return np.zeros_like(front)
        wall = self.body.depth / 2
        forward = ramp(front, -0.2 * wall, 0.9 * wall) * ramp(front, wall + FRONT_MM, wall + 1)
        sideways = np.maximum(1 - np.square(right / np.float32(0.6 * self.body.width)), 0)
        # The upper fragment is driven forward over the lower one: a step, then a slow return.
        upward = ramp(up, height - 1.5, height + 0.5) * ramp(up, end, height + 1)
        return np.float32(size) * forward * sideways * upward


def collapse(body: BodyMap, fracture: Fracture, around: Surroundings, halo: float) -> Collapse:
    """The collapse that a fracture asks for.

    Args:
        body: the intact body.
        fracture: its shape; the loss is scaled so that the heights of *this* body fall by
            `spec.height_loss`.
        around: what stands in the columns.
        halo: how far beyond its label bone is seen in the CT, mm; it moves with the bone.
    """
    up = around.up
    high, upper = _end(body.top, around, halo)
    flipped = Surroundings(-up[::-1], *(part[::-1] for part in around[1:]))
    low, lower = _end(-body.bottom, flipped, halo)
    low = -low
    room = np.maximum(body.top - body.bottom - upper - lower, 1)
    free = _free(body, around, halo, 1), _free(body, around, halo, -1)
    sink, rise = _sinking(body, fracture, free, room)
    # Nothing moves in columns that the border of the volume cuts next to the body.
    column = up[:, None, None]
    sink *= ramp(STEP_MM * (around.inside & (column > body.top)).sum(axis=0), 2, 8)
    rise *= ramp(STEP_MM * (around.inside & (column < body.bottom)).sum(axis=0), 2, 8)

    crushed = np.minimum(np.maximum(2 * (sink + rise), _CRUSHED_MM), room)
    e = sink * _trapezoid((column - body.top + upper) / crushed + 1)
    e -= rise * _trapezoid((body.bottom + lower - column) / crushed + 1)
    shift = _inverted(up, np.clip(e, -rise, sink))
    new_top = body.top - sink
    buckle = (0.0, 0.0, 0.0)
    if fracture.buckle and fracture.sheets and sink.max() > 0:
        wall = int(np.argmin(np.abs(body.front - 0.9 * body.depth / 2)))
        middle = int(np.argmin(np.abs(body.right)))
        height = float(new_top[wall, middle] - fracture.sheets[0].depth)
        buckle = fracture.buckle, height, max(float(high[wall, middle]), height + 3)
    return Collapse(body, up, shift, new_top, body.bottom + rise, high, low, sink, rise, buckle)


def _end(surface: np.ndarray, around: Surroundings, halo: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the body ends above, and how much of its upper end moves as one, [f, r] mm each.

    It ends a halo above its own highest bone, or halfway to the neighbour where that is closer.
    """
    up, own, others, _ = around
    column = up[:, None, None]
    highest = np.max(np.where(own & (column > 0), column, -np.inf), axis=0)
    highest = np.maximum(surface, highest)
    neighbour = np.min(np.where(others & (column > 0), column, np.inf), axis=0) - STEP_MM / 2
    end = highest + np.minimum(halo, np.maximum(neighbour - highest, 0) / 2)
    # Bone above soft tissue, as at a rim that overhangs the waist, is as thick as it is.
    soft = ~own & (column > 0) & (column < surface - STEP_MM / 2)
    overhang = surface - np.max(np.where(soft, column, -np.inf), axis=0)
    plate = np.where(overhang < _OVERHANG_MM, np.maximum(overhang, _PLATE_MM), _PLATE_MM)
    plate = ndimage.gaussian_filter(ndimage.grey_dilation(plate, (3, 3)), 1 / STEP_MM)
    return np.minimum(end, neighbour), plate


def _free(body: BodyMap, around: Surroundings, halo: float, side: int) -> np.ndarray:
    """[f, r] how freely an endplate gives way: 1 in the body, 0 outside and at the arch."""
    front = body.front[:, None]
    column = side * around.up[:, None, None]
    surface = body.top if side > 0 else -body.bottom
    end = (column > 0) & (column < surface + _OVERHANG_MM)
    bone = body.outline | (around.own & end).any(axis=0) & (front > -body.depth / 2)
    arch = around.own.any(axis=0) & (front < -body.depth / 2 - _BEHIND_MM)
    free = ramp(STEP_MM * ndimage.distance_transform_edt(~bone), halo + 3, halo + 1)
    if not arch.any():
        return free
    return free * ramp(STEP_MM * ndimage.distance_transform_edt(~arch), *_ARCH_MM)


def _sinking(
    body: BodyMap, fracture: Fracture, free: tuple[np.ndarray, np.ndarray], room: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far the endplates sink and rise, [f, r] mm.

    Args:
        body: the intact body.
        fracture: its shape.
        free: see `_free`, of the superior and of the inferior endplate.
        room: the height that can be crushed, mm.
    """
    if not sum(fracture.loss):
        return np.zeros_like(body.top), np.zeros_like(body.top)
    f = np.clip(body.front * 2 / body.depth, -1, 1)[:, None]
    r = np.clip(body.right * 2 / body.width, -1, 1)[None, :]
    shape = fracture.profile(f, r) * np.ones_like(body.top)
    if fracture.spec.kind == "wedge":
        # The more is lost, the more evenly the endplate slopes from the back to the front.
        even = 0.8 * float(ramp(np.array(fracture.spec.height_loss), 0.15, 0.35))
        slope = np.clip((f + 0.8) / 1.5, 0, 1) * (1 + fracture.lateral * r)
        shape += even * (np.maximum(slope, 0) - shape)
    shape = ndimage.gaussian_filter(shape, 0.7 / STEP_MM, mode="nearest")
    upper = fracture.loss[0] / sum(fracture.loss)
    sink, rise = upper * free[0] * shape, (1 - upper) * free[1] * shape
    total = fracture.spec.height_loss / np.max(body.at_sites(sink + rise) / body.heights())
    most = np.minimum(0.8 * STEEPEST * room / np.maximum(total * (sink + rise), 1e-6), 1)
    return total * most * sink, total * most * rise


def _trapezoid(x: np.ndarray) -> np.ndarray:
    """From 0 (x <= 0) to 1 (x >= 1); the slope rises and falls over a fifth, at most 1.25."""
    x = np.clip(x, 0, 1)
    edge = 0.2
    rising = x * x / (2 * edge)
    middle = x - edge / 2
    falling = 1 - edge - np.square(1 - x) / (2 * edge)
    return np.where(x < edge, rising, np.where(x <= 1 - edge, middle, falling)) / (1 - edge)


def _inverted(up: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Backward displacement: u + shift(u) is mapped to u. Exact between the grid's points.

    Beyond the ends of the column it goes on as at the ends, which move as one.
    """
    shift = np.zeros_like(e)
    for column in np.argwhere(np.any(e != 0, axis=0)):
        place = (slice(None), *column)
        after = up - e[place]
        first, last = e[place][0], e[place][-1]
        back = np.interp(up, after, up)
        back = np.where(up < after[0], up + first, np.where(up > after[-1], up + last, back))
        shift[place] = back - up
    return shift
