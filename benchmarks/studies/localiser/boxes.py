"""How much of the true bodies lies in the boxes around found points."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.studies.localiser.verdicts import write_points
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.box import box_between
from vfseg.data.points import vertebrae_from_points
from vfseg.data.volume import Volume
from vfseg.segmentation.labelled import bodies_of


def shares_in_boxes(
    points: Mapping[str, np.ndarray], labels: Volume, name: str
) -> dict[str, float]:
    """Share of each whole labelled body that the box of its name holds; 0 where there is none.

    Boxes are those that a prediction takes around points (`vertebrae_from_points`); a body is its
    label without what lies behind the posterior wall.

    Args:
        points: level -> [3] mm in RAS+, of T4 to L5.
        labels: label map of the CT.
        name: of the CT, for messages.
    """
    true = read_vertebrae(labels, None, name)
    bodies, centres = bodies_of(true)
    with tempfile.TemporaryDirectory() as folder:
        path = write_points(points, Path(folder) / "points.csv")
        found, _ = vertebrae_from_points(path, labels.geometry)
    boxes = {v.level: box_between(v.start, v.stop) for v in found}
    shares = {}
    for number in centres:
        level, inside = true.vertebrae[number - 1].level, bodies == number
        held = np.count_nonzero(inside[boxes[level]]) if level in boxes else 0
        shares[level] = held / np.count_nonzero(inside)
    return shares
