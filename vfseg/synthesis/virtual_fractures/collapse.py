"""How a body collapses: a map of every column along the vertebra's axis onto itself.

Each column of the vertebra's frame is mapped forward, u -> u - e(u), with a continuous e:

    below the body   e fades in (an inferior endplate that rises pulls the disc below with it)
    inside           e grows by the loss of height, over the crushed zone under an endplate
    above            e falls to the settling of the neighbour across the disc, then to 0

so the slope is 1 - e'(u). Where e falls that is above 1; inside the body the crushed zone is chosen
so that e' stays below `STEEPEST`, and a disc is squeezed by less than two thirds. Every column is
then strictly increasing, and so is its inverse, the backward map that samples the CT. A second map
bulges the anterior wall along the front axis with a slope below 1/2. The Jacobian of the whole is
the product of the two slopes: positive everywhere.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vfseg.synthesis.phantom.fractures import Fracture
from vfseg.synthesis.phantom.shapes import Local, ramp
from vfseg.synthesis.virtual_fractures.body import STEP_MM, BodyMap

ABOVE_MM, BELOW_MM = 55.0, 16.0
"""How far beyond the endplates voxels move."""
FRONT_MM, BEHIND_MM = 18.0, 12.0
"""How far beyond the anterior and lateral wall, and behind the posterior wall."""

STEEPEST = 0.85
_PLATE_MM = 1.5  # the endplate itself moves as one
_CRUSHED_MM = 9.0
_DISC_MM = 14.0
_STIFF = 0.03  # how far vertebrae give way, against discs
_NEGLIGIBLE_MM = 2e-3
# Fraction of the loss by which the neighbour above comes down; the rest widens the disc. Under a
# hollow the rim, on which the neighbour stands, stays where it is.
_SETTLING = {"wedge": 0.55, "biconcave": 0.0, "crush": 0.7}


@dataclass(frozen=True, eq=False)
class Collapse:
    """Where every voxel comes from. Lengths in mm, in the frame of the body.

    Attributes:
        body: before the fracture.
        up: [u] coordinates of the field along the axis.
        shift: [u, f, r] of a place after the fracture: it came from `u + shift`.
        top, bottom: [f, r] the endplates afterwards.
        buckle: bulge of the anterior wall, and the height of its step.
    """

    body: BodyMap
    up: np.ndarray
    shift: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    buckle: tuple[float, float]

    def heights(self) -> np.ndarray:
        """Anterior, middle and posterior height after the fracture, [3]."""
        return self.body.at_sites(self.top - self.bottom)

    def backward(self, local: Local) -> tuple[np.ndarray, np.ndarray]:
        """Displacements along up and front from where a place is to where it came from, mm."""
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
        rise = ndimage.map_coordinates(self.shift, index, order=1, mode="constant", cval=0)
        return rise.astype(np.float32), -bulge

    def stretch(self) -> np.ndarray:
        """[u, f, r] slope of the backward map: below 1 where tissue is pulled apart."""
        return 1 + np.gradient(self.shift, STEP_MM, axis=0)

    def _bulge(self, up: np.ndarray, front: np.ndarray, right: np.ndarray) -> np.ndarray:
        size, height = self.buckle
        if size <= 0:
            return np.zeros_like(front)
        wall = self.body.depth / 2
        forward = ramp(front, -0.2 * wall, 0.9 * wall) * ramp(front, wall + 13, wall + 1)
        sideways = np.maximum(1 - np.square(right / np.float32(0.6 * self.body.width)), 0)
        # The upper fragment is driven forward over the lower one: a step, then a slow return.
        upward = ramp(up, height - 1.5, height + 0.5) * ramp(up, height + 12, height + 3)
        return np.float32(size) * forward * sideways * upward


def collapse(
    body: BodyMap, fracture: Fracture, soft: np.ndarray, inside: np.ndarray, up: np.ndarray
) -> Collapse:
    """The collapse that a fracture asks for.

    Args:
        body: the intact body.
        fracture: its shape; the loss is scaled so that the heights of *this* body fall by
            `spec.height_loss`.
        soft: see `soft_tissue`.
        inside: see `soft_tissue`.
        up: their coordinates along the axis, mm.
    """
    column = up[:, None, None]
    top, bottom = body.top[None], body.bottom[None]
    give = np.maximum(soft**3, _STIFF) * inside
    sink, rise = _sinking(body, fracture)
    # Nothing moves in columns that the border of the volume cuts next to the body.
    sink *= ramp(STEP_MM * (inside & (column > top)).sum(axis=0), 4, 16)
    rise *= ramp(STEP_MM * (inside & (column < bottom)).sum(axis=0), 4, 12)

    height = np.maximum(body.top - body.bottom - 2 * _PLATE_MM, 1)
    crushed = np.minimum(np.maximum(2 * (sink + rise), _CRUSHED_MM), height)
    e = sink * _trapezoid((column - top + _PLATE_MM) / crushed + 1)
    # The inferior endplate: the whole column below the crushed zone rises, and is pulled back.
    e -= rise * _trapezoid((bottom + _PLATE_MM - column) / crushed + 1)
    e = np.clip(e, -rise, sink)

    settled = _settling(body, fracture, sink)
    disc = give * ramp(column - top, 0.5, 2.5) * ramp(column - top, _DISC_MM, _DISC_MM - 5)
    spine = give * ramp(column - top, 0.5, 2.5) * ramp(column - top, ABOVE_MM - 1, ABOVE_MM - 12)
    # Where the neighbour comes down further than the endplate, the disc between is squeezed.
    steepest = np.max(disc, axis=0) / np.maximum(STEP_MM * disc.sum(axis=0), 1e-6)
    settled = np.minimum(settled, sink + 0.6 / np.maximum(steepest, 1e-6))
    settled[sink == 0] = 0
    above = (sink - settled) * _falling(disc) + settled * _falling(spine)
    e = np.where(column > top, above, e)
    disc = give * ramp(bottom - column, 0.5, 2.5) * ramp(bottom - column, BELOW_MM - 1, 8)
    e = np.where(column < bottom, -rise * _falling(disc[::-1])[::-1], e)

    shift = _inverted(up, e)
    shift[np.abs(shift) < _NEGLIGIBLE_MM] = 0
    new_top = body.top - sink
    buckle = (0.0, 0.0)
    if fracture.buckle and fracture.sheets and sink.max() > 0:
        wall = int(np.argmin(np.abs(body.front - 0.9 * body.depth / 2)))
        middle = int(np.argmin(np.abs(body.right)))
        buckle = fracture.buckle, float(new_top[wall, middle] - fracture.sheets[0].depth)
    return Collapse(body, up, shift, new_top, body.bottom + rise, buckle)


def _sinking(body: BodyMap, fracture: Fracture) -> tuple[np.ndarray, np.ndarray]:
    """How far the endplates sink and rise, [f, r] mm, fading out around the body."""
    if not sum(fracture.loss):
        return np.zeros_like(body.top), np.zeros_like(body.top)
    f = np.clip(body.front * 2 / body.depth, -1, 1)[:, None]
    r = np.clip(body.right * 2 / body.width, -1, 1)[None, :]
    shape = fracture.profile(f, r) * np.ones_like(body.top)
    shape = ndimage.gaussian_filter(shape, 0.7 / STEP_MM, mode="nearest")
    shape *= ramp(body.outside, FRONT_MM - 5, 0)
    shape *= ramp(body.front + body.depth / 2, 1 - BEHIND_MM, -1)[:, None]
    total = fracture.spec.height_loss / np.max(body.at_sites(shape) / body.heights())
    most = 0.8 * STEEPEST * np.maximum(body.top - body.bottom - 2 * _PLATE_MM, 0)
    loss = np.minimum(total * shape, most)
    upper = fracture.loss[0] / sum(fracture.loss)
    return upper * loss, (1 - upper) * loss


def _settling(body: BodyMap, fracture: Fracture, sink: np.ndarray) -> np.ndarray:
    """How far the neighbour above comes down, [f, r] mm: the plane through the sunken endplate."""
    follows = _SETTLING[fracture.spec.kind]
    if not follows or not sink.any():
        return np.zeros_like(sink)
    f, r = np.meshgrid(body.front, body.right, indexing="ij")
    design = np.stack([np.ones_like(f), f, r], -1)
    plane = np.linalg.lstsq(design[body.outline], sink[body.outline], rcond=None)[0]
    f = np.clip(f, -body.depth / 2 - BEHIND_MM, body.depth / 2)
    r = np.clip(r, -body.width / 2, body.width / 2)
    settled = np.maximum(plane[0] + plane[1] * f + plane[2] * r, 0)
    settled = ndimage.gaussian_filter(follows * settled, 2 / STEP_MM, mode="nearest")
    settled *= ramp(body.outside, FRONT_MM - 1, 2)
    return settled * ramp(body.front + body.depth / 2, 1 - BEHIND_MM, 0)[:, None]


def _trapezoid(x: np.ndarray) -> np.ndarray:
    """From 0 (x <= 0) to 1 (x >= 1); the slope rises and falls over a fifth, at most 1.25."""
    x = np.clip(x, 0, 1)
    edge = 0.2
    rising = x * x / (2 * edge)
    middle = x - edge / 2
    falling = 1 - edge - np.square(1 - x) / (2 * edge)
    return np.where(x < edge, rising, np.where(x <= 1 - edge, middle, falling)) / (1 - edge)


def _falling(weights: np.ndarray) -> np.ndarray:
    """From 1 to 0 along the first axis, as fast as the weights are large."""
    total = np.cumsum(weights, axis=0)
    return 1 - total / np.maximum(total[-1:], 1e-6)


def _inverted(up: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Backward displacement: u + shift(u) is mapped to u. Exact between the grid's points."""
    shift = np.zeros_like(e)
    for column in np.argwhere(np.any(e != 0, axis=0)):
        place = (slice(None), *column)
        after = up - e[place]
        shift[place] = np.interp(up, after, up) - up
    return shift
