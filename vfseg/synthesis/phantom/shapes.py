"""Implicit shapes: signed distances in mm, evaluated in tight boxes of a voxel grid.

A signed distance is negative inside. A voxel gets the fraction of it that a shape covers (partial
volume), so surfaces and shells thinner than a voxel come out at the value a scanner would measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vfseg.data.box import Box, box_between

Local = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Coordinates (up, front, right) of voxels in a frame, mm."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A rigid frame in patient millimetres (superior, anterior, right).

    Attributes:
        centre: [3] mm, origin of the frame.
        axes: [3, 3], rows are the unit vectors up, front and right of the frame.
    """

    centre: np.ndarray
    axes: np.ndarray

    def to_patient(self, points: np.ndarray | Sequence[float]) -> np.ndarray:
        """Frame coordinates (up, front, right), [..., 3] mm, to patient millimetres."""
        return np.asarray(points, np.float64) @ self.axes + self.centre

    def moved(self, shift: np.ndarray) -> "Frame":
        """The frame shifted by [3] mm."""
        return Frame(self.centre + shift, self.axes)


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid along the patient's axes: mm = origin + index * spacing."""

    shape: tuple[int, int, int]
    spacing: np.ndarray
    origin: np.ndarray

    @property
    def width(self) -> float:
        """Width in mm over which a surface passes through a voxel."""
        return float(np.prod(self.spacing) ** (1 / 3))

    def axis(self, axis: int, part: slice = slice(None)) -> np.ndarray:
        """Patient millimetres of the voxel centres along one axis, float32."""
        index = np.arange(*part.indices(self.shape[axis]))
        return (self.origin[axis] + self.spacing[axis] * index).astype(np.float32)

    def box(self, points: np.ndarray, margin: float) -> Box | None:
        """Smallest box around [n, 3] points grown by a margin in mm; None outside the grid."""
        low = np.floor((points.min(0) - margin - self.origin) / self.spacing).astype(int)
        high = np.ceil((points.max(0) + margin - self.origin) / self.spacing).astype(int) + 1
        low, high = np.maximum(low, 0), np.minimum(high, self.shape)
        if (low >= high).any():
            return None
        return box_between(low, high)

    def local(self, box: Box, frame: Frame) -> Local:
        """Coordinates (up, front, right) of the voxels of a box in a frame, float32 `d h w`."""
        offsets = [self.axis(axis, box[axis]) - np.float32(frame.centre[axis]) for axis in range(3)]
        d, h, w = (
            np.expand_dims(o, [a for a in range(3) if a != i]) for i, o in enumerate(offsets)
        )
        up, front, right = (
            (d * np.float32(row[0]) + h * np.float32(row[1])) + w * np.float32(row[2])
            for row in frame.axes
        )
        return up, front, right


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """Fraction of a voxel inside a surface at this signed distance in mm, 0..1."""
    return np.clip(0.5 - distance * np.float32(1 / width), 0, 1)


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high` (which may be the smaller of the two)."""
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_max(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Maximum of two distances (intersection), its edge rounded by about `radius` mm."""
    rounding = np.maximum(np.float32(radius) - np.abs(a - b), 0)
    return np.maximum(a, b) + rounding * rounding * np.float32(0.25 / radius)


def smooth_min(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Minimum of two distances (union) with a fillet of about `radius` mm."""
    rounding = np.maximum(np.float32(radius) - np.abs(a - b), 0)
    return np.minimum(a, b) - rounding * rounding * np.float32(0.25 / radius)


def ellipse_distance(
    x: np.ndarray, y: np.ndarray, a: np.ndarray | float, b: np.ndarray | float
) -> np.ndarray:
    """First-order signed distance to the ellipse (x/a)² + (y/b)² = 1, mm.

    With q = sqrt((x/a)² + (y/b)²) it is (q - 1) q / |(x/a², y/b²)|, exact on the surface.
    """
    xa, yb = x / a, y / b
    q = np.sqrt(xa * xa + yb * yb) + np.float32(1e-3)
    xa, yb = xa / a, yb / b
    return (q - 1) * q / (np.sqrt(xa * xa + yb * yb) + np.float32(1e-4))


@dataclass(frozen=True)
class Rod:
    """A tapered rod of elliptic cross-section with round ends, in frame coordinates (mm).

    Attributes:
        start, stop: (up, front, right) of the two ends.
        radii: half axes of the cross-section, the first along `flat`, the second across it.
        flat: direction of the first half axis (its part along the rod is dropped).
        taper: radii at `stop` over radii at `start`.
    """

    start: tuple[float, float, float]
    stop: tuple[float, float, float]
    radii: tuple[float, float]
    flat: tuple[float, float, float] = (0.0, 0.0, 1.0)
    taper: float = 1.0

    @property
    def ends(self) -> np.ndarray:
        """[2, 3] mm, start and stop."""
        return np.array([self.start, self.stop])

    @property
    def reach(self) -> float:
        """Largest half axis in mm."""
        return max(self.radii) * max(1.0, self.taper)

    def distance(self, local: Local) -> np.ndarray:
        """Signed distance in mm to first order, at local coordinates (up, front, right)."""
        start = np.array(self.start)
        along = np.array(self.stop) - start
        length = np.linalg.norm(along)
        along = along / length
        flat = np.array(self.flat) - np.dot(self.flat, along) * along
        flat /= np.linalg.norm(flat)
        p = [axis - np.float32(s) for axis, s in zip(local, start)]
        t = sum(axis * np.float32(c) for axis, c in zip(p, along))
        t = np.clip(t, 0, np.float32(length))
        n = sum(axis * np.float32(c) for axis, c in zip(p, flat))
        r0, r1, r2 = (axis - t * np.float32(c) for axis, c in zip(p, along))
        n2 = n * n
        rest2 = np.maximum(r0 * r0 + r1 * r1 + r2 * r2 - n2, 0)
        scale = 1 / (1 + t * np.float32((self.taper - 1) / length))
        ra, rb = np.float32(self.radii[0] ** -2), np.float32(self.radii[1] ** -2)
        q = np.sqrt(n2 * ra + rest2 * rb) * scale + np.float32(1e-3)
        slope = np.sqrt(n2 * (ra * ra) + rest2 * (rb * rb)) * (scale * scale) + np.float32(1e-4)
        return (q - 1) * q / slope


@dataclass(frozen=True, eq=False)
class Ripple:
    """A smooth random field: a sum of plane waves with wavelengths in a range of mm, SD about 1.

    It is a function of millimetres, so one seed gives one field at any voxel spacing.
    """

    waves: np.ndarray
    phases: np.ndarray

    @classmethod
    def draw(
        cls, rng: np.random.Generator, wavelengths: tuple[float, float], axes: int, count: int = 5
    ) -> "Ripple":
        """Draws `count` waves over so many coordinate axes."""
        directions = rng.standard_normal((count, axes))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = rng.uniform(*wavelengths, size=(count, 1))
        return cls(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, count))

    def at(self, *coordinates: np.ndarray) -> np.ndarray:
        """Values at coordinates in mm, float32."""
        total: Any = 0.0
        for wave, phase in zip(self.waves, self.phases):
            angle = sum(c * np.float32(k) for c, k in zip(coordinates, wave)) + np.float32(phase)
            total = total + np.cos(angle)
        return total * np.float32(np.sqrt(2 / len(self.phases)))
