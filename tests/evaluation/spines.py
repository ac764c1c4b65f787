"""Label maps of spines whose heights are known by construction: bodies with flat endplates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vfseg.data.anatomy import read_vertebrae
from vfseg.data.geometry import geometry_from
from vfseg.data.schemes import SCHEMES
from vfseg.data.volume import Volume

VERSE = {level: label for label, level in SCHEMES["verse"].items()}
DEPTH, WIDTH = 30.0, 40.0


@dataclass(frozen=True)
class Block:
    """A vertebra: heights of the front and the back wall in mm, and how it lies.

    Attributes:
        level: its name.
        front, back: mm; the endplates are planes between them, symmetric to the middle.
        dent: depth of a groove across the middle of the upper endplate, mm.
        pitch, roll: degrees by which its top leans back, and to the right.
        arch: whether it has one.
    """

    level: str
    front: float = 24.0
    back: float = 24.0
    dent: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    arch: bool = True

    def at(self, share: float) -> float:
        """Height in the midline at a share of the depth, from the front wall."""
        place = (2 * share - 1) ** 2
        return self.front + (self.back - self.front) * share - self.dent * max(0, 1 - 4 * place)

    def inside(self, up: np.ndarray, front: np.ndarray, right: np.ndarray) -> np.ndarray:
        share = 0.5 - front / DEPTH
        half = (self.front + (self.back - self.front) * share) / 2
        hollow = np.maximum(0, 1 - 4 * (2 * front / DEPTH) ** 2)
        body = (np.abs(front) <= DEPTH / 2) & (np.abs(right) <= WIDTH / 2)
        body &= (up <= half - self.dent * hollow) & (up >= -half)
        if not self.arch:
            return body
        behind = -front - DEPTH / 2  # mm behind the back wall
        pedicle = (np.abs(np.abs(right) - 12) <= 3) & (np.abs(up - 4) <= 4) & (np.abs(behind) <= 18)
        lamina = (np.abs(right) <= 15) & (np.abs(up) <= 10) & (np.abs(behind - 19) <= 3)
        spine = (np.abs(right) <= 3) & (np.abs(up + 4) <= 6) & (np.abs(behind - 32) <= 12)
        return body | pedicle | lamina | spine


def turn(pitch: float, roll: float) -> np.ndarray:
    """Rows up, front, right (in superior, anterior, right) of a frame leaning back and right."""
    p, r = np.radians([pitch, roll])
    back = np.array([[np.cos(p), -np.sin(p), 0], [np.sin(p), np.cos(p), 0], [0, 0, 1]])
    side = np.array([[np.cos(r), 0, np.sin(r)], [0, 1, 0], [-np.sin(r), 0, np.cos(r)]])
    return back @ side


def build(
    blocks: Sequence[Block],
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    gap: float = 8.0,
    margin: float = 20.0,
    affine: Callable[[np.ndarray], np.ndarray] = lambda affine: affine,
) -> tuple[Volume, list[np.ndarray]]:
    """Stack blocks, cranial to caudal, along their own axes.

    Returns:
        The label map (VerSe ids), and the centre of each body as canonical voxel. `affine` changes
        the stored affine, which otherwise runs along the patient's axes (superior, anterior,
        right).
    """
    frames = [turn(block.pitch, block.roll) for block in blocks]
    centres = [np.zeros(3)]
    for above, below, upper, lower in zip(blocks, blocks[1:], frames, frames[1:]):
        reach = [(b.front + b.back) / 4 + gap / 2 for b in (above, below)]
        centres.append(centres[-1] - upper[0] * reach[0] - lower[0] * reach[1])
    low = np.min(centres, axis=0) - (30 + margin, 70, 30)
    high = np.add(np.max(centres, axis=0), (10 + margin, 30, 30))
    axes = [np.arange(a, b, s) for a, b, s in zip(low, high, spacing)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    array = np.zeros(grid.shape[:3], np.uint8)
    for block, frame, centre in zip(blocks, frames, centres):
        up, front, right = np.moveaxis((grid - centre) @ frame.T, -1, 0)
        array[block.inside(up, front, right) & (array == 0)] = VERSE[block.level]
    straight = np.zeros((4, 4))
    for axis, world in enumerate((2, 1, 0)):  # d, h, w run along z, y, x
        straight[world, axis] = spacing[axis]
    straight[:, 3] = *low[::-1], 1
    geometry = geometry_from(array.shape, affine(straight))
    assert geometry.shape == array.shape
    return Volume(array, geometry), [(c - low) / spacing for c in centres]


def vertebrae_of(labels: Volume):
    """What the package reads of such a map."""
    return read_vertebrae(labels, "verse", "blocks").vertebrae
