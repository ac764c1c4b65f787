"""Bone and predicted fracture as smooth fields on one isotropic grid, for pictures in 3D."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vfseg.data.levels import Vertebra
from vfseg.data.resample import resampled_affine, sample_linear
from vfseg.data.volume import Volume
from vfseg.inference.boxed_map import BoxedMap

BONE_HOUNSFIELD = 200
_MOST_VOXELS = 12_000_000
_FINEST_MM = 0.8
_SMOOTHING_MM = 0.8
_MARGIN_MM = 15.0  # predictions just outside the vertebra are shown too


@dataclass(frozen=True, eq=False)
class Solids:
    """Two fields on a grid along the canonical axes.

    Attributes:
        bone: float32 `d h w`; bone is where it is at least 0.5.
        fracture: float32 `d h w`, probability near what reaches the threshold, 0 elsewhere.
        threshold: fracture is where `fracture` is at least this.
        spacing: of the grid, mm, the same along every axis.
        affine: [4, 4], index of the grid -> RAS+ mm.
        levels: name and (d, h, w) centre of each vertebra, in voxels of the grid.
    """

    bone: np.ndarray
    fracture: np.ndarray
    threshold: float
    spacing: float
    affine: np.ndarray
    levels: tuple[tuple[str, np.ndarray], ...]


def build_solids(
    ct: Volume,
    probability: np.ndarray | BoxedMap,
    labels: np.ndarray | None,
    vertebrae: Sequence[Vertebra],
    threshold: float,
) -> Solids | None:
    """Gathers bone and prediction around the vertebrae.

    Bone is the label map where there is one, else HU >= 200 inside the boxes. Where the grid is
    coarser than the CT the probability is first dilated by its step, so that a sheet of one
    voxel is not averaged away.

    Args:
        ct: int16 HU.
        probability: `d h w` in [0, 1], on the grid of the CT.
        labels: `d h w` vertebra labels on the grid of the CT, or None.
        vertebrae: what to show. Empty: the box of all voxels above 0 in `probability`.
        threshold: probability from which on a voxel is shown as fracture.

    Returns:
        The fields, or None where there is nothing to show.
    """
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

    reach = tuple(np.maximum(1, np.round(step)).astype(int))
    bone = np.zeros(shape, np.float32)
    fracture = np.zeros(shape, np.float32)
    for (start, stop), label in zip(boxes, _labels_of(vertebrae, len(boxes)), strict=True):
        low, high = np.maximum(start - 2, 0), np.minimum(stop + 2, ct.shape)
        own = tuple(slice(a, b) for a, b in zip(low, high))
        solid = ct.array[own] >= BONE_HOUNSFIELD if labels is None else labels[own] == label
        _merge(bone, solid.astype(np.float32), low - first, step)
        low, high = np.maximum(start - margin, 0), np.minimum(stop + margin, ct.shape)
        wide = tuple(slice(a, b) for a, b in zip(low, high))
        if probability[wide].max() >= threshold:
            dilated = ndimage.maximum_filter(probability[wide].astype(np.float32), size=reach)
            _merge(fracture, dilated, low - first, step)
    ndimage.gaussian_filter(bone, _SMOOTHING_MM / spacing, output=bone)
    return Solids(
        bone=bone,
        fracture=fracture,
        threshold=threshold,
        spacing=spacing,
        affine=resampled_affine(ct.affine, first, step),
        levels=tuple((v.level, (np.asarray(v.centre) - first) / step) for v in vertebrae),
    )


def _labels_of(vertebrae: Sequence[Vertebra], boxes: int) -> list[int]:
    return [v.label for v in vertebrae] or [0] * boxes


def _box_of_prediction(probability: np.ndarray | BoxedMap) -> list[tuple[np.ndarray, np.ndarray]]:
    """Bounding box of the voxels above 0, from one pass over the planes."""
    rows = np.array([plane.max() for plane in probability]) > 0
    if not rows.any():
        return []
    inside = probability[np.flatnonzero(rows)[0] : np.flatnonzero(rows)[-1] + 1]
    columns = inside.max(axis=0) > 0
    seen = [np.flatnonzero(s) for s in (rows, columns.any(axis=1), columns.any(axis=0))]
    return [(np.array([s[0] for s in seen]), np.array([s[-1] + 1 for s in seen]))]


def _merge(field: np.ndarray, values: np.ndarray, offset: np.ndarray, step: np.ndarray) -> None:
    """Resamples a box into the field, voxel by voxel the larger value.

    Args:
        field: `d h w`, changed in place.
        values: float32 box in voxels of the CT.
        offset: [3], its first voxel, in voxels of the CT from the field's first.
        step: [3], voxels of the CT per voxel of the field.
    """
    start = np.maximum(np.floor(offset / step).astype(int), 0)
    stop = np.minimum(np.ceil((offset + values.shape) / step).astype(int) + 1, field.shape)
    place = tuple(slice(a, b) for a, b in zip(start, stop))
    sampled = sample_linear(values, start * step - offset, step, stop - start, fill=0.0)
    np.maximum(field[place], sampled, out=field[place])
