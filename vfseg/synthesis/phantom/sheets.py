"""The thin sheets of a fracture: along an endplate, or upright between the endplates."""

from dataclasses import dataclass

import numpy as np

from vfseg.synthesis.phantom.shapes import Ripple, coverage


@dataclass(frozen=True, eq=False)
class Sheet:
    """A thin curved sheet inside a body, roughly parallel to an endplate.

    Lengths in mm, in the frame of the vertebra; `side` is 1 under the superior endplate and -1
    over the inferior one.
    """

    side: int
    depth: float
    slant: float
    centre: tuple[float, float]
    half_axes: tuple[float, float]
    thickness: float
    hounsfield: float
    gap: bool
    undulation: Ripple
    outline: Ripple
    grain: Ripple

    def cover(
        self, up: np.ndarray, front: np.ndarray, right: np.ndarray, plate: np.ndarray, width: float
    ) -> np.ndarray:
        """Fraction of each voxel within the sheet, 0..1; `plate` is the height of its endplate."""
        x = (front - np.float32(self.centre[0])) / np.float32(self.half_axes[0])
        y = (right - np.float32(self.centre[1])) / np.float32(self.half_axes[1])
        inside = 1 - x * x - y * y + 0.18 * self.outline.at(front, right)
        below = np.float32(self.depth) + 0.7 * self.undulation.at(front, right)
        below = np.maximum(below + np.float32(self.slant) * x, 0.8)
        thickness = np.float32(self.thickness) * np.sqrt(np.clip(2.5 * inside, 0, 1))
        distance = np.abs(up - plate + self.side * below) - 0.5 * thickness
        # A voxel deep in the sheet is covered by at most thickness / width.
        return np.minimum(coverage(distance, width), thickness / np.float32(width))

    def strength(self, front: np.ndarray, right: np.ndarray) -> np.ndarray:
        """HU added (condensation) or left (gap) where the sheet covers a voxel in full."""
        if self.gap:
            return np.full_like(front, self.hounsfield)
        return np.float32(self.hounsfield) * (1 + 0.2 * np.clip(self.grain.at(front, right), -2, 2))


@dataclass(frozen=True, eq=False)
class UprightSheet:
    """A thin sheet that stands in a body between its endplates, or below the upper one only.

    Lengths in mm, in the frame of the vertebra.

    Attributes:
        side: of the endplate from which `reach` is measured, 1 superior.
        normal: (front, right) unit vector across the sheet.
        offset: distance of the sheet from the axis of the body along the normal.
        breadth: half breadth along the sheet.
        reach: how far down from the endplate.
    """

    side: int
    normal: tuple[float, float]
    offset: float
    breadth: float
    reach: float
    thickness: float
    hounsfield: float
    gap: bool
    undulation: Ripple

    def cover(
        self, up: np.ndarray, front: np.ndarray, right: np.ndarray, plate: np.ndarray, width: float
    ) -> np.ndarray:
        """Fraction of each voxel within the sheet, 0..1; `plate` is the height of its endplate."""
        a, b = (np.float32(c) for c in self.normal)
        across, along = a * front + b * right, a * right - b * front
        wave = self.undulation.at(along, up)
        distance = np.abs(across - np.float32(self.offset) + 0.8 * wave)
        distance = distance - np.float32(0.5 * self.thickness)
        down = self.side * (plate - up)
        ends = np.maximum(np.abs(along) - np.float32(self.breadth) + wave,
                          down - np.float32(self.reach) + wave)  # fmt: skip
        cover = coverage(np.maximum(distance, ends), width)
        return np.minimum(cover, np.float32(self.thickness / width))

    def strength(self, front: np.ndarray, right: np.ndarray) -> np.ndarray:
        """HU added (condensation) or left (gap) where the sheet covers a voxel in full."""
        del right
        return np.full_like(front, self.hounsfield)
