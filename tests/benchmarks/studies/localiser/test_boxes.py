"""How much of a body its box holds: all of it around its middle, less beside it, none without."""

import numpy as np
import pytest
from nibabel.affines import apply_affine

from benchmarks.studies.localiser.boxes import shares_in_boxes
from tests.data.built_spine import as_volume, ids_of, numbered, spine
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.points import vertebrae_from_points
from vfseg.segmentation.labelled import bodies_of

LEVELS = ("T11", "T12", "L1", "L2")


@pytest.fixture(scope="module")
def labels():
    array, _ = spine(LEVELS)
    return as_volume(numbered(array, ids_of("verse")))


def middles(labels):
    reading = read_vertebrae(labels, "verse", "built")
    _, centres = bodies_of(reading)
    return {
        reading.vertebrae[n - 1].level: apply_affine(labels.affine, centre)
        for n, centre in centres.items()
    }


def test_boxes_around_the_middles_hold_the_bodies(labels):
    shares = shares_in_boxes(middles(labels), labels, "built")
    assert list(shares) == list(LEVELS)
    assert min(shares.values()) > 0.95


def test_a_share_is_counted_voxel_by_voxel(labels, tmp_path):
    """L1 lies 18 mm too low; L2 is not found."""
    points = middles(labels)
    points["L1"] = points["L1"] - (0, 0, 18)
    del points["L2"]
    shares = shares_in_boxes(points, labels, "built")
    assert shares["L2"] == 0
    assert 0.2 < shares["L1"] < 0.8
    lines = [f"{k},{x},{y},{z}" for k, (x, y, z) in points.items()]
    (tmp_path / "a.csv").write_text("\n".join(["level,x,y,z", *lines]))
    boxes = {v.level: v for v in vertebrae_from_points(tmp_path / "a.csv", labels.geometry)[0]}
    bodies, _ = bodies_of(read_vertebrae(labels, "verse", "built"))
    for number, level in enumerate(LEVELS[:3], 1):
        voxels = np.argwhere(bodies == number)
        held = ((voxels >= boxes[level].start) & (voxels < boxes[level].stop)).all(1)
        assert shares[level] == pytest.approx(held.mean())
