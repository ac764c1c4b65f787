"""Bone, predicted and true fracture as fields on one isotropic grid, for what is shown in 3D."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vfseg.data.box import box_between
from vfseg.data.levels import Vertebra
from vfseg.data.resample import resampled_affine, sample_linear, sample_nearest
from vfseg.inference.boxed_map import ProbabilityMap
from vfseg.report.scene import Scene, predicted

SURFACE = 0.5
"""Value of a field at the surface of its solid."""

_BONE_HOUNSFIELD = 200
_MOST_VOXELS = 12_000_000
_FINEST_MM = 0.8
_SMOOTHING_MM = 0.8
_MARGIN_MM = 15.0  # predictions just outside a vertebra are shown too


@dataclass(frozen=True, eq=False)
class Solids:
    """Fields on a grid along the canonical axes; a solid is where its field is >= `SURFACE`.

    Attributes:
        bone: float32 `d h w` in [0, 1], smooth.
        fracture: float32 `d h w`, 1 where a voxel is predicted, 0 elsewhere.
        truth: float32 `d h w`, 1 where the reference has a fracture; None where there is none.
        synthetic: whether a program made that reference.
        spacing: of the grid, mm, the same along every axis.
        affine: [4, 4], index of the grid -> RAS+ mm.
        levels: name and (d, h, w) centre of each vertebra, in voxels of the grid.
    """

    bone: np.ndarray
    fracture: np.ndarray
    truth: np.ndarray | None
    synthetic: bool
    spacing: float
    affine: np.ndarray
    levels: tuple[tuple[str, np.ndarray], ...]


def build_solids(scene: Scene) -> Solids | None:
    """Gathers bone, prediction and truth around the vertebrae.

    Bone is the label map where there is one, else HU >= 200 inside the boxes; without vertebrae,
    in the box of all voxels above 0 in the map. The fracture is the mask of `predicted`, so that
    every voxel of `mask.nii.gz` is seen: the grid takes the nearest voxel, and where it is coarser
    than the CT, the mask first grows by as much as the grid could pass over. So is the truth.

    Args:
        scene: of the case.

    Returns:
        The fields, or None where there is nothing to show.
    """
    ct, probability, vertebrae = scene.ct, scene.probability, scene.spine.vertebrae
    labels = None if scene.spine.labels is None else scene.spine.labels.array
    instances = None if scene.reference is None else scene.reference.instances
    voxel = ct.voxel_spacing
    boxes = [(np.asarray(v.start), np.asarray(v.stop)) for v in vertebrae]
    if not boxes:
        boxes = _box_of_prediction(probability)
    if not boxes:
        return None
    margin = np.ceil(_MARGIN_MM / voxel).astype(int)
    first = np.maximum(np.min([start for start, _ in boxes], axis=0) - margin, 0)
    last = np.minimum(np.max([stop for _, stop in boxes], axis=0) + margin, ct.shape)
    size_mm = (last - first) * voxel
    spacing = max(_FINEST_MM, float(np.cbrt(np.prod(size_mm) / _MOST_VOXELS)))
    step = spacing / voxel
    shape = np.ceil(size_mm / spacing).astype(int) + 1

    reach = tuple(np.ceil(step - 1e-6).astype(int))  # no fewer voxels than a step of the grid
    bone = np.zeros(shape, np.float32)
    fracture = np.zeros(shape, np.float32)
    truth = None if instances is None else np.zeros(shape, np.float32)
    for (start, stop), label in zip(boxes, _labels_of(vertebrae, len(boxes)), strict=True):
        low, high = np.maximum(start - 2, 0), np.minimum(stop + 2, ct.shape)
        own = box_between(low, high)
        solid = ct.array[own] >= _BONE_HOUNSFIELD if labels is None else labels[own] == label
        _merge(bone, solid.astype(np.float32), low - first, step, sample_linear)
        low, high = np.maximum(start - margin, 0), np.minimum(stop + margin, ct.shape)
        around = box_between(low, high)
        masks = [(fracture, predicted(probability[around], scene.threshold))]
        if truth is not None and instances is not None:
            masks.append((truth, instances[around] > 0))
        for field, mask in masks:
            if mask.any():
                thick = ndimage.maximum_filter(mask.astype(np.float32), size=reach)
                _merge(field, thick, low - first, step, sample_nearest)
    ndimage.gaussian_filter(bone, _SMOOTHING_MM / spacing, output=bone)
    return Solids(
        bone=bone,
        fracture=fracture,
        truth=truth,
        synthetic=scene.reference is not None and scene.reference.synthetic,
        spacing=spacing,
        affine=resampled_affine(ct.affine, first, step),
        levels=tuple((v.level, (np.asarray(v.centre) - first) / step) for v in vertebrae),
    )


def _labels_of(vertebrae: Sequence[Vertebra], boxes: int) -> list[int]:
    return [v.label for v in vertebrae] or [0] * boxes


def _box_of_prediction(probability: ProbabilityMap) -> list[tuple[np.ndarray, np.ndarray]]:
    """Bounding box of the voxels above 0, from one pass over the planes."""
    rows = np.array([plane.max() for plane in probability]) > 0
    if not rows.any():
        return []
    inside = probability[np.flatnonzero(rows)[0] : np.flatnonzero(rows)[-1] + 1]
    columns = inside.max(axis=0) > 0
    seen = [np.flatnonzero(s) for s in (rows, columns.any(axis=1), columns.any(axis=0))]
    return [(np.array([s[0] for s in seen]), np.array([s[-1] + 1 for s in seen]))]


def _merge(
    field: np.ndarray,
    values: np.ndarray,
    offset: np.ndarray,
    step: np.ndarray,
    sample: Callable[..., np.ndarray],
) -> None:
    """Resamples a box into the field, voxel by voxel the larger value.

    Args:
        field: `d h w`, changed in place.
        values: float32 box in voxels of the CT.
        offset: [3], its first voxel, in voxels of the CT from the field's first.
        step: [3], voxels of the CT per voxel of the field.
        sample: `sample_linear` or `sample_nearest`.
    """
    start = np.maximum(np.floor(offset / step).astype(int), 0)
    stop = np.minimum(np.ceil((offset + values.shape) / step).astype(int) + 1, field.shape)
    place = box_between(start, stop)
    sampled = sample(values, start * step - offset, step, stop - start, fill=0)
    np.maximum(field[place], sampled, out=field[place])
