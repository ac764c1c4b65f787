import numpy as np
import pytest
from scipy.spatial.distance import cdist

from vfseg.data.attribution import SHOWN_MARGIN_MM
from vfseg.data.geometry import geometry_from
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.inference.case_map import CaseMap
from vfseg.inference.fusion import Fused
from vfseg.inference.near_vertebrae import near_vertebrae

SPACING = np.array([3.0, 0.8, 1.6])  # of the CT, d h w
SHAPE = (12, 40, 20)


def spine(*, boxes=False):
    """Two vertebrae with something else (id 7) between them and below."""
    geometry = geometry_from(SHAPE[::-1], np.diag([*SPACING[::-1], 1]))
    labels, found = np.zeros(SHAPE, np.uint8), []
    labels[1:11, 10:14, 5:9] = 7
    for label, level, first in ((20, "L1", 7), (21, "L2", 2)):
        start, stop = (first, 12, 6), (first + 2, 30, 14)
        labels[tuple(slice(a, b) for a, b in zip(start, stop))] = label
        centre = (np.array(start) + stop - 1) / 2
        found.append(Vertebra(level, label, start, stop, centre, 288, 1.1, ()))
    return Spine(tuple(found), None if boxes else Volume(labels, geometry), (), ()), geometry


@pytest.mark.parametrize("voxel_spacing", [1.0, 2.0])
def test_what_is_near_is_what_a_look_at_every_voxel_says(voxel_spacing):
    known, geometry = spine()
    origin, shape = (-2, 3, -1), (int(40 / voxel_spacing), 30, 24)
    near = near_vertebrae(known, geometry, origin, shape, voxel_spacing)
    at = (np.argwhere(np.ones(shape)) + origin) * voxel_spacing  # mm
    index = np.floor(at / SPACING + 0.5).astype(int)
    inside = ((index >= 0) & (index < SHAPE)).all(axis=1)
    own = np.zeros(len(at), bool)
    own[inside] = np.isin(known.labels.array[tuple(index[inside].T)], (20, 21))
    distance = cdist(at, at[own]).min(axis=1)
    np.testing.assert_array_equal(near.ravel(), distance <= SHOWN_MARGIN_MM)
    assert 0 < near.sum() < near.size


def test_boxes_are_all_that_is_near():
    known, geometry = spine(boxes=True)
    origin, shape = (-2, 3, -1), (40, 30, 24)
    near = near_vertebrae(known, geometry, origin, shape, 1.0)
    for voxel in np.random.default_rng(0).integers(0, shape, (500, 3)):
        index = np.floor((voxel + origin) / SPACING + 0.5)  # the nearest voxel of the CT
        held = any(((index >= v.start) & (index < v.stop)).all() for v in known.vertebrae)
        assert near[tuple(voxel)] == held


def test_a_map_says_nothing_elsewhere_and_the_crops_stay_what_they_are():
    known, geometry = spine()
    fused = Fused(np.full(SHAPE, 0.7, np.float32), np.ones(SHAPE, np.float32))
    everywhere = CaseMap((0, 0, 0), SHAPE, fused, "mean", None, 1.6)
    limited = everywhere.near_vertebrae(known, geometry)
    part = everywhere.box(geometry)
    before, after = everywhere.part_on_ct(geometry, part), limited.part_on_ct(geometry, part)
    np.testing.assert_array_equal(before.region, after.region)
    kept = after.probability > 0
    assert 0 < kept.sum() < before.region.sum()
    np.testing.assert_array_equal(after.probability[kept], before.probability[kept])
    labels = known.labels.array[part]
    assert kept[before.region & np.isin(labels, (20, 21))].all()
