"""Real CTs to learn from, and the middles of the bodies that a label map shows."""

from pathlib import Path

import numpy as np

from vfseg.data.anatomy import body_centre, read_vertebrae
from vfseg.data.box import label_boxes
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.parts import parts_of
from vfseg.data.schemes import SPINE_IDS
from vfseg.data.volume import Volume, read_labels
from vfseg.localisation.coarse import KEPT_MM, CoarseCase, coarse
from vfseg.localisation.levels import NAMES, STEP_MM

_BEYOND_MM = 10.0  # beyond the outermost middle a body may lie that nobody labelled


def read_case(name: str, ct: Path, labels: Path) -> CoarseCase:
    """A CT and the middles of the bodies that its label map shows.

    Args:
        name: of the case.
        ct: see `read_hounsfield`.
        labels: label map of its vertebrae, in any known scheme.

    Raises:
        UserError: one of the files cannot be read; no vertebra of T4 to L5.
    """
    volume = read_hounsfield(ct)
    points, doubtful = body_points(read_labels(labels), name)
    hu = coarse(volume.array, volume.voxel_spacing, KEPT_MM)
    scale = volume.voxel_spacing / KEPT_MM
    places = {level: place * scale for level, place in points.items()}
    heights = [place[0] for place in places.values()]
    low = min(heights) - _BEYOND_MM / KEPT_MM if "S1" not in places else 0.0
    return CoarseCase(
        name,
        np.rint(np.clip(hu, -1024, 3071)).astype(np.int16),
        places,
        (low, max(heights) + _BEYOND_MM / KEPT_MM),
        doubtful * scale,
    )


def body_points(labels: Volume, name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Middles of the bodies, in canonical voxels of their label map.

    Args:
        labels: the map.
        name: of the case, for messages.

    Returns:
        Level (see `NAMES`) -> [3], cranial to caudal; and those of bodies that the border cuts or
        of which a fragment is left, [n, 3].

    Raises:
        UserError: as in `read_vertebrae`.
    """
    reading = read_vertebrae(labels, None, name)
    found = {v.level: v.centre for v in reading.vertebrae}
    cut = {v.level for v in reading.vertebrae if v.flags}
    boxes = label_boxes(reading.labels.array)
    for label, level, _ in reading.left_out:
        if level in NAMES and SPINE_IDS[reading.scheme].get(label) == level:
            parts = parts_of(reading.labels, label, boxes[label])
            found[level] = body_centre(labels.voxel_spacing, parts)
            if (
                boxes[label][0].stop == labels.shape[0]
                or boxes[label][0].start == 0
                or np.count_nonzero(parts.inside) * np.prod(labels.voxel_spacing) < 4000
            ):
                cut.add(level)
    doubtful = np.array([found[level] for level in cut]).reshape(-1, 3)
    return {k: found[k] for k in NAMES if k in found and k not in cut}, doubtful


def step_of(level: str) -> float:
    """Usual distance to the next body below (for S1: to that above), mm."""
    return float(STEP_MM[min(NAMES.index(level), len(STEP_MM) - 1)])
