"""Which places of a case the pictures show."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from vfseg.data.box import box_between
from vfseg.data.levels import Vertebra
from vfseg.inference.boxed_map import ProbabilityMap
from vfseg.report.scene import predicted

_APART_MM = 25.0  # about one vertebra: one picture a place


class Focus(NamedTuple):
    """A place worth a picture.

    Attributes:
        point: voxel (d, h, w).
        found_by: "truth" (a reference lesion), "prediction" (a peak at or above the threshold)
            or "maximum" (the highest value, where there is neither).
        probability: highest value at the voxels of the lesion, or at the peak.
        volume_ml: of the reference lesion; None for the others.
    """

    point: tuple[int, int, int]
    found_by: str
    probability: float
    volume_ml: float | None


def find_foci(
    probability: ProbabilityMap,
    instances: np.ndarray | None,
    threshold: float,
    spacing: np.ndarray,
    limit: int | None,
) -> list[Focus]:
    """Reference lesions, largest first, then predicted peaks that lie elsewhere, highest first.

    A lesion is shown at the one of its voxels that is nearest to its centre (a curved sheet may
    not contain its centre of mass). Peaks keep 25 mm from each other and from the lesions.

    Args:
        probability: `d h w` in [0, 1].
        instances: integer ids of the reference lesions `d h w`, one for each, 0 elsewhere; None
            where there is no reference.
        threshold: a peak at or above this probability counts (see `predicted`).
        spacing: mm along d, h, w, [3].
        limit: most places to show, at least 1; None for all.

    Returns:
        At most `limit` places. Where there is no lesion and no peak: the maximum of the map
        alone; nothing at all if the map is 0 everywhere.
    """
    foci: list[Focus] = []
    if instances is not None:
        points, ids = _sparse(instances, lambda plane: plane > 0)
        sizes = {int(i): int(n) for i, n in zip(*np.unique(ids, return_counts=True), strict=True)}
        for instance in sorted(sizes, key=lambda i: (-sizes[i], i))[:limit]:
            own = points[ids == instance]
            away = np.linalg.norm((own - own.mean(axis=0)) * spacing, axis=1)
            highest = float(_values_at(probability, own).max())
            volume = sizes[instance] * float(np.prod(spacing)) / 1000
            foci.append(Focus(_voxel(own[np.argmin(away)]), "truth", highest, volume))

    points, values = _sparse(probability, lambda plane: predicted(plane, threshold))
    for focus in foci:
        points, values = _elsewhere(points, values, focus.point, spacing)
    while len(values) and (limit is None or len(foci) < limit):
        top = int(np.argmax(values))
        foci.append(Focus(_voxel(points[top]), "prediction", float(values[top]), None))
        points, values = _elsewhere(points, values, points[top], spacing)
    if not foci:
        highest_of_plane = np.array([plane.max() for plane in probability])
        d = int(np.argmax(highest_of_plane))
        h, w = np.unravel_index(np.argmax(probability[d]), probability.shape[1:])
        if highest_of_plane[d] > 0:
            foci.append(Focus((d, int(h), int(w)), "maximum", float(highest_of_plane[d]), None))
    return foci


def level_at(point: Sequence[float], vertebrae: Iterable[Vertebra], spacing: np.ndarray) -> str:
    """Level whose body centre is nearest among the vertebrae whose box holds the point.

    Args:
        point: voxel (d, h, w).
        vertebrae: of the case.
        spacing: mm along d, h, w.

    Returns:
        "T4" to "L5", or "" where no box holds the point.
    """
    at = np.asarray(point, float)
    holders = [v for v in vertebrae if np.all(at >= v.start) and np.all(at < np.asarray(v.stop))]
    nearest = min(
        holders, key=lambda v: float(np.linalg.norm((at - v.centre) * spacing)), default=None
    )
    return nearest.level if nearest else ""


def _sparse(
    array: ProbabilityMap, chosen: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates "n 3" and values "n" of the chosen voxels, found plane by plane."""
    points, values = [np.zeros((0, 3), np.int64)], [np.zeros(0, array.dtype)]
    for d, plane in enumerate(array):
        inside = np.argwhere(chosen(plane))
        points.append(np.insert(inside, 0, d, axis=1))
        values.append(plane[tuple(inside.T)])
    return np.concatenate(points), np.concatenate(values)


def _values_at(probability: ProbabilityMap, points: np.ndarray) -> np.ndarray:
    """Values "n" at voxels "n 3", read from the box around them."""
    first = points.min(axis=0)
    return probability[box_between(first, points.max(axis=0) + 1)][tuple((points - first).T)]


def _elsewhere(
    points: np.ndarray, values: np.ndarray, centre: Sequence[int], spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The points, and their values, that are further than 25 mm from a centre."""
    far = np.linalg.norm((points - np.asarray(centre)) * spacing, axis=1) > _APART_MM
    return points[far], values[far]


def _voxel(point: np.ndarray) -> tuple[int, int, int]:
    return int(point[0]), int(point[1]), int(point[2])
