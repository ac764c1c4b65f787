"""Reference lesions: how large and thick they are, and which vertebra they belong to."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from vfseg.audit.findings import LesionFacts
from vfseg.crops.prepare import Crop, PrepareSettings
from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.volume import Volume

_TOUCHING = np.ones((3, 3, 3), bool)
_FINE_VOXELS = 10**6

Box = tuple[slice, ...]


def measure_lesions(
    fractures: Volume,
    labels: Volume | None,
    names: Mapping[int, str],
    crops: Sequence[Crop],
    settings: PrepareSettings,
) -> tuple[LesionFacts, ...]:
    """Measures every lesion within its own box.

    Args:
        fractures: mask of instances; where it has one value only, its 26-connected components are
            the lesions.
        labels: label map on the same grid, or None.
        names: id -> name of the parts of the spine in it; other ids are no vertebrae.
        crops: boxes that will be cut.
        settings: how.
    """
    boxes = ndimage.find_objects(fractures.array)
    present = [(value, box) for value, box in enumerate(boxes, 1) if box is not None]
    spine = np.zeros(1 if labels is None else int(labels.array.max()) + 1, bool)
    spine[[label for label in names if label < len(spine)]] = True
    step = settings.voxel_spacing / fractures.voxel_spacing
    limits = [
        (np.array(c.start) * step - 0.5, (np.array(c.start) + settings.crop_shape - 1) * step + 0.5)
        for c in crops
    ]
    lesions = []
    for value, box in present:
        parts, _ = ndimage.label(fractures.array[box] == value, _TOUCHING)
        measured = [
            _measure(parts[inner] == number, _moved(inner, box), fractures, labels, spine, limits)
            for number, inner in enumerate(ndimage.find_objects(parts), 1)
        ]
        if len(present) == 1:
            lesions += [_facts(i, [part], fractures, names) for i, part in enumerate(measured, 1)]
        else:
            lesions.append(_facts(value, measured, fractures, names))
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


class _Part:
    """Measures of one component."""

    def __init__(self, voxels, depth_mm, owners, outside, uncropped, point):
        self.voxels, self.depth_mm, self.owners = voxels, depth_mm, owners
        self.outside, self.uncropped, self.point = outside, uncropped, point


def _measure(
    mask: np.ndarray,
    box: Box,
    fractures: Volume,
    labels: Volume | None,
    spine: np.ndarray,
    limits: Sequence[tuple[np.ndarray, np.ndarray]],
) -> _Part:
    coordinates = np.argwhere(mask) + [side.start for side in box]
    kept = np.full(len(coordinates), not limits)  # without vertebrae nothing is known
    for low, high in limits:
        kept |= ((coordinates >= low) & (coordinates <= high)).all(axis=1)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=fractures.voxel_spacing)
    deepest = np.unravel_index(depth.argmax(), depth.shape)
    owners: Counter[int] = Counter()
    outside = 0
    if labels is not None:
        owners, outside = _owners(coordinates, box, labels, spine)
    return _Part(
        len(coordinates),
        sheet_thickness(mask, fractures.voxel_spacing),
        owners,
        outside,
        int(np.count_nonzero(~kept)),
        tuple(int(at) - 1 + side.start for at, side in zip(deepest, box)),
    )


def _owners(
    coordinates: np.ndarray, box: Box, labels: Volume, spine: np.ndarray
) -> tuple[Counter[int], int]:
    """Voxels by the id of the nearest vertebra, and those farther than the margin from any."""
    spacing = labels.voxel_spacing
    grow = np.ceil(ATTRIBUTION_MARGIN_MM / spacing).astype(int) + 1
    around = tuple(
        slice(max(0, side.start - g), min(size, side.stop + g))
        for side, g, size in zip(box, grow, labels.shape)
    )
    ids = labels.array[around]
    bone = spine[ids]
    if not bone.any():
        return Counter(), len(coordinates)
    at = tuple((coordinates - [side.start for side in around]).T)
    distance, nearest = ndimage.distance_transform_edt(~bone, sampling=spacing, return_indices=True)
    near = distance[at] <= ATTRIBUTION_MARGIN_MM
    found, counts = np.unique(ids[tuple(nearest[:, *at])][near], return_counts=True)
    owners = Counter({int(label): int(count) for label, count in zip(found, counts)})
    return owners, int(np.count_nonzero(~near))


def _facts(
    number: int, parts: Sequence[_Part], fractures: Volume, names: Mapping[int, str]
) -> LesionFacts:
    """One lesion from its parts."""
    voxels = sum(part.voxels for part in parts)
    owners: Counter[str] = Counter()
    for part in parts:
        for label, count in part.owners.items():
            owners[names[label]] += count
    known = bool(names)
    voxel_ml = float(abs(np.linalg.det(fractures.affine[:3, :3]))) / 1000
    return LesionFacts(
        number=number,
        voxels=voxels,
        volume_ml=voxels * voxel_ml,
        thickness_mm=sum(part.voxels * part.depth_mm for part in parts) / voxels,
        components=len(parts),
        single_voxels=sum(part.voxels == 1 for part in parts),
        owners=tuple(owners.most_common()) if known else None,
        outside_share=sum(part.outside for part in parts) / voxels if known else None,
        uncropped_share=sum(part.uncropped for part in parts) / voxels,
        point=max(parts, key=lambda part: part.voxels).point,
    )


def _moved(inner: Box, outer: Box) -> Box:
    return tuple(slice(i.start + o.start, i.stop + o.start) for i, o in zip(inner, outer))
