"""Reference lesions: how large and thick they are, and which vertebra they belong to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vfseg.audit.findings import LesionFacts
from vfseg.crops.prepare import Crop
from vfseg.crops.settings import PrepareSettings
from vfseg.data.attribution import nearest_labels
from vfseg.data.box import Box, label_boxes, moved, start_of
from vfseg.data.instances import connected
from vfseg.data.volume import Volume

_FINE_VOXELS = 10**6


def measure_lesions(
    instances: Volume,
    labels: Volume | None,
    names: Mapping[int, str],
    crops: Sequence[Crop],
    settings: PrepareSettings,
) -> tuple[LesionFacts, ...]:
    """Measures every lesion within its own box.

    Args:
        instances: one id a lesion, see `vfseg.data.instances.separated`.
        labels: label map on the same grid, or None.
        names: id -> name of the parts of the spine in it; other ids are no vertebrae.
        crops: boxes that will be cut.
        settings: how.
    """
    step = settings.voxel_spacing / instances.voxel_spacing
    limits = [
        (np.array(c.start) * step - 0.5, (np.array(c.start) + settings.crop_shape - 1) * step + 0.5)
        for c in crops
    ]
    lesions = []
    for number, box in label_boxes(instances.array).items():
        parts, _ = connected(instances.array[box] == number)
        measured = []
        for part, inner in enumerate(ndimage.find_objects(parts), 1):
            where = moved(inner, start_of(box))
            coordinates = np.argwhere(parts[inner] == part) + start_of(where)
            owners, outside = Counter[int](), 0
            if labels is not None:
                nearest = nearest_labels(coordinates, labels, names)
                found, counts = np.unique(nearest, return_counts=True)
                owners = Counter(dict(zip(found.tolist(), counts.tolist())))
                outside = owners.pop(0, 0)
            depth_mm, point = _depth(parts[inner] == part, where, instances.voxel_spacing)
            uncropped = _uncropped(coordinates, limits)
            measured.append(_Part(len(coordinates), depth_mm, owners, outside, uncropped, point))
        reach = _reach(box, crops, instances.voxel_spacing)
        lesions.append(_facts(number, measured, instances, names, reach))
    return tuple(lesions)


def sheet_thickness(mask: np.ndarray, voxel_spacing: np.ndarray) -> float:
    """Thickness in mm of the flat sheet that has the same mean depth below its surface.

    t = 4 mean(depth): exact for wide flat sheets along the axes; a ball comes out at half its
    diameter. Depth is the distance to the nearest outer voxel, less half of that voxel. Voxels are
    halved first, so that even and odd numbers of layers give the same.

    Args:
        mask: bool `d h w`, not empty.
        voxel_spacing: [3] mm.
    """
    spacing = np.asarray(voxel_spacing, float)
    if mask.size <= _FINE_VOXELS:
        mask = mask.repeat(2, 0).repeat(2, 1).repeat(2, 2)
        spacing = spacing / 2
    mask = np.pad(mask, 1)
    inside = np.argwhere(mask)
    _, nearest = ndimage.distance_transform_edt(mask, sampling=spacing, return_indices=True)
    steps = np.abs(nearest[:, *inside.T].T - inside)
    longest = steps.max(axis=1, keepdims=True)
    depth = np.linalg.norm(steps * spacing, axis=1) * (1 - 0.5 / longest[:, 0])
    return float(4 * depth.mean())


class _Part(NamedTuple):
    """Measures of one connected part of a lesion.

    Attributes:
        voxels: their number.
        thickness_mm: see `sheet_thickness`.
        owners: voxels by the id of the vertebra that they belong to.
        outside: voxels that belong to none.
        uncropped: voxels in no crop.
        point: (d, h, w), its deepest voxel.
    """

    voxels: int
    thickness_mm: float
    owners: Counter[int]
    outside: int
    uncropped: int
    point: tuple[int, int, int]


def _depth(
    mask: np.ndarray, box: Box, voxel_spacing: np.ndarray
) -> tuple[float, tuple[int, int, int]]:
    """Thickness of a part in mm, and its deepest voxel (d, h, w)."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=voxel_spacing)
    d, h, w = np.array(np.unravel_index(depth.argmax(), depth.shape)) - 1 + start_of(box)
    return sheet_thickness(mask, voxel_spacing), (int(d), int(h), int(w))


def _uncropped(coordinates: np.ndarray, limits: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    """Voxels [n, 3] within none of the limits (first and last index of each crop)."""
    kept = np.full(len(coordinates), not limits)  # without vertebrae nothing is known
    for low, high in limits:
        kept |= ((coordinates >= low) & (coordinates <= high)).all(axis=1)
    return int(np.count_nonzero(~kept))


def _reach(box: Box, crops: Sequence[Crop], voxel_spacing: np.ndarray) -> float | None:
    """Half the side in mm of the smallest cube around the middle of a body that holds a box."""
    low, high = np.array([(side.start - 0.5, side.stop - 0.5) for side in box]).T
    middles = (np.asarray(crop.vertebra.centre) for crop in crops)
    reaches = [
        max(((m - low) * voxel_spacing).max(), ((high - m) * voxel_spacing).max()) for m in middles
    ]
    return float(min(reaches)) if reaches else None


def _facts(
    number: int,
    parts: Sequence[_Part],
    instances: Volume,
    names: Mapping[int, str],
    reach_mm: float | None,
) -> LesionFacts:
    """One lesion from its parts."""
    voxels = sum(part.voxels for part in parts)
    owners: Counter[str] = Counter()
    for part in parts:
        for label, count in part.owners.items():
            owners[names[label]] += count
    known = bool(names)
    voxel_ml = float(abs(np.linalg.det(instances.affine[:3, :3]))) / 1000
    return LesionFacts(
        number=number,
        voxels=voxels,
        volume_ml=voxels * voxel_ml,
        thickness_mm=sum(part.voxels * part.thickness_mm for part in parts) / voxels,
        components=len(parts),
        single_voxels=sum(part.voxels == 1 for part in parts),
        owners=tuple(owners.most_common()) if known else None,
        outside_fraction=sum(part.outside for part in parts) / voxels if known else None,
        uncropped_fraction=sum(part.uncropped for part in parts) / voxels,
        reach_mm=reach_mm,
        point=max(parts, key=lambda part: part.voxels).point,
    )
