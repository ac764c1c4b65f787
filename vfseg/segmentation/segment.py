"""Outlines of vertebral bodies from a CT and a point in each: a label map."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from scipy import ndimage

from vfseg.data.box import (
    Box,
    bounding_box,
    box_between,
    intersection,
    is_empty,
    overlap,
    shape_of,
    start_of,
    stop_of,
    whole,
    within,
)
from vfseg.data.resample import sample_linear
from vfseg.data.volume import Volume
from vfseg.segmentation.network import Segmenter
from vfseg.segmentation.patch import SHAPE, cut_patch, placed

SURE = 0.5
"""Probability from which on a voxel is the body."""


@jax.jit
def _run(params: Any, hu: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(Segmenter().apply({"params": params}, hu[None])[0])


def label_vertebrae(
    ct: Volume, points: Mapping[int, np.ndarray], params: Any
) -> tuple[np.ndarray, Box]:
    """Labels the bodies of the vertebrae that points name.

    What is seen around the points gives the middles around which it is looked again, since a point
    that was found lies some millimetres off.

    Args:
        ct: in HU.
        points: label -> [3], middle of the body in canonical voxels, cranial to caudal.
        params: of `Segmenter`.

    Returns:
        uint16 labels in a box of the CT, 0 where no body is; and the box.
    """
    labels, around = labels_around(ct, points, params)
    return labels_around(ct, _middles(labels, around, points), params)


def labels_around(
    ct: Volume, points: Mapping[int, np.ndarray], params: Any
) -> tuple[np.ndarray, Box]:
    """What is seen around the points alone; arguments and results as in `label_vertebrae`.

    A voxel that two neighbours claim goes to the surer one.
    """
    reach = [_patch_box(ct, point) for point in points.values()]
    first = np.min([start_of(box) for box in reach], 0)
    around = box_between(first, np.max([stop_of(box) for box in reach], 0))
    labels = np.zeros(shape_of(around), np.uint16)
    before: tuple[Box, np.ndarray] | None = None
    for label, point in points.items():
        box, probability = outline(ct, point, params)
        own = probability >= SURE
        if before is not None:
            here, there = overlap(box, before[0])
            own[here] &= probability[here] > before[1][there]
        labels[within(box, around)][own] = label
        before = box, probability
    return labels, around


def _middles(
    labels: np.ndarray, around: Box, points: Mapping[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """Middle of each label in canonical voxels of the CT; the point of one that is not there."""
    middles = dict(points)
    for label in np.unique(labels[labels > 0]):
        middle = ndimage.center_of_mass(labels == label)
        middles[int(label)] = start_of(around) + np.array(middle)
    return middles


def outline(ct: Volume, point: np.ndarray, params: Any) -> tuple[Box, np.ndarray]:
    """Probability of one body, float32 in a box of the CT; the box is empty where none is seen.

    Args:
        ct: in HU.
        point: [3], middle of the body in canonical voxels.
        params: of `Segmenter`.
    """
    seen = np.asarray(_run(params, cut_patch(ct.array, ct.voxel_spacing, point)))
    origin, step = placed(ct.voxel_spacing, point)
    inside = bounding_box(seen >= SURE)
    # A voxel of the patch further on all sides, between which and the outermost one it falls to 0.
    first = np.floor(origin + (np.array(start_of(inside)) - 1) * step)
    last = np.ceil(origin + np.array(stop_of(inside)) * step) + 1
    box = _on(ct, first, last)
    if is_empty(inside) or is_empty(box):
        return box_between((0, 0, 0), (0, 0, 0)), np.zeros((0, 0, 0), np.float32)
    at = (np.array(start_of(box)) - origin) / step
    return box, sample_linear(seen, at, 1 / step, shape_of(box), fill=0)


def _patch_box(ct: Volume, point: np.ndarray) -> Box:
    origin, step = placed(ct.voxel_spacing, point)
    return _on(ct, np.floor(origin - step), np.ceil(origin + np.array(SHAPE) * step) + 1)


def _on(ct: Volume, first: np.ndarray, last: np.ndarray) -> Box:
    return intersection(box_between(first.astype(int), last.astype(int)), whole(ct.shape))
