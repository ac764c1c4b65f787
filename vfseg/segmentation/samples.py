"""What the network learns from: labelled bodies, turned, scaled, cut, blurred and made noisy."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vfseg.data.box import Box, box_between, grown, start_of
from vfseg.localisation.samples import turned, worsened
from vfseg.segmentation.labelled import KEPT_MM, LabelledCase
from vfseg.segmentation.patch import POINT, SHAPE, SPACING_MM
from vfseg.synthesis.phantom.tissue import AIR

ASTRAY_MM = 3.0
"""SD along each axis of how far a point lies from the middle of its body."""

CUT = 0.15
"""Share of patches through which a border of the CT goes."""


class Sample(NamedTuple):
    """One patch.

    Attributes:
        hu: float32 `d h w`.
        mask: float32 `d h w`, share of the voxel that is the body.
    """

    hu: np.ndarray
    mask: np.ndarray


def draw_sample(rng: np.random.Generator, cases: Sequence[LabelledCase]) -> Sample:
    """Draws a patch: half of them from CTs of real bone, where there are any."""
    real = [case for case in cases if case.real]
    group = real if real and rng.random() < 0.5 else cases
    case = group[int(rng.integers(len(group)))]
    label = list(case.points)[rng.integers(len(case.points))]
    matrix = SPACING_MM / KEPT_MM * _draw_matrix(rng)
    point = case.points[label] + rng.normal(0, ASTRAY_MM, 3) / KEPT_MM
    around, offset = _reach(matrix, point, case.hu.shape)
    hu = _moved(case.hu[around], matrix, offset, AIR)
    mask = _moved(case.labels[around] == label, matrix, offset, 0)
    hu = worsened(rng, hu)
    if rng.random() < CUT:
        beyond = _beyond_a_border(rng)
        hu[beyond], mask[beyond] = AIR, 0
    return Sample(hu.astype(np.float32), mask)


def _moved(array: np.ndarray, matrix: np.ndarray, offset: np.ndarray, fill: float) -> np.ndarray:
    values = array.astype(np.float32)
    return ndimage.affine_transform(values, matrix, offset, SHAPE, order=1, cval=fill)


def _reach(matrix: np.ndarray, point: np.ndarray, shape: tuple[int, ...]) -> tuple[Box, np.ndarray]:
    """The part of a case that a patch sees, and where in it its first voxel lies."""
    offset = point - matrix @ np.array(POINT)
    ends = np.array(list(itertools.product(*((0, n - 1) for n in SHAPE))))
    seen = ends @ matrix.T + offset
    first, last = np.floor(seen.min(0)).astype(int), np.ceil(seen.max(0)).astype(int) + 1
    around = grown(box_between(first, last), (1, 1, 1), shape)
    return around, offset - start_of(around)


def _beyond_a_border(rng: np.random.Generator) -> Box:
    """Voxels of a patch that lie outside of the CT, at one of its ends along one axis."""
    axis = int(rng.choice(3, p=(0.7, 0.15, 0.15)))
    depth = int(rng.integers(3, 14))
    part = [slice(0, n) for n in SHAPE]
    part[axis] = slice(0, depth) if rng.random() < 0.5 else slice(SHAPE[axis] - depth, SHAPE[axis])
    return part[0], part[1], part[2]


def _draw_matrix(rng: np.random.Generator) -> np.ndarray:
    """Voxels of a patch to such of a case of the same spacing, [3, 3]."""
    scale = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
    scale[2] *= rng.choice((-1, 1))
    return turned(rng, (10, 10, 18)) * scale
