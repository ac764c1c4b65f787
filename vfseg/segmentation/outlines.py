"""From a CT and a file of points to a label map of the bodies, as a file."""

from pathlib import Path
from typing import Any

import numpy as np

from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.outputs import NOTE
from vfseg.data.points import vertebrae_from_points
from vfseg.data.schemes import VERSE_LABELS
from vfseg.data.volume import write_boxed_labels
from vfseg.segmentation.segment import label_vertebrae


def write_outlines(
    ct: Path, points: Path, path: Path, params: Any
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Outlines the bodies that a file points at.

    Args:
        ct: see `read_hounsfield`.
        points: see `vertebrae_from_points`.
        path: of the label map, on the grid of the CT, in VerSe's ids; none is written where nothing
            is seen.
        params: of `Segmenter`.

    Returns:
        Levels that were outlined, and those of which nothing was seen.

    Raises:
        UserError: a file cannot be read or written.
    """
    volume = read_hounsfield(ct)
    vertebrae, _ = vertebrae_from_points(points, volume.geometry)
    centres = {VERSE_LABELS[vertebra.level]: vertebra.centre for vertebra in vertebrae}
    labels, box = label_vertebrae(volume, centres, params)
    there = set(np.unique(labels))
    seen = tuple(v.level for v in vertebrae if VERSE_LABELS[v.level] in there)
    if seen:
        write_boxed_labels(path, labels, box, volume.geometry, NOTE)
    return seen, tuple(v.level for v in vertebrae if v.level not in seen)
