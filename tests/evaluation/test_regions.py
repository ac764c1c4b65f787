import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from tests.evaluation.scene import SPINE
from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.geometry import geometry_from
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.evaluation.regions import nearer_within, vertebra_regions


def vertebra(labels, label):
    where = np.argwhere(labels == label)
    start, stop = tuple(where.min(0).tolist()), tuple((where.max(0) + 1).tolist())
    return Vertebra(f"id{label}", label, start, stop, where.mean(0), len(where), 1.0)


def test_a_voxel_belongs_to_the_nearest_part_of_the_spine_within_two_millimetres():
    rng = np.random.default_rng(0)
    labels = np.zeros((9, 8, 10), np.uint8)
    labels[1:4, 2:6, 3:7] = 20
    labels[5:8, 2:6, 2:8] = 21
    labels[0, :, :] = 26  # sacrum: spine, but no vertebra of ours
    labels[rng.random(labels.shape) < 0.03] = 99  # an organ: no part of the spine
    spacing = np.array([1.0, 1.5, 0.8])
    grid = np.argwhere(np.ones(labels.shape, bool)) * spacing

    def distance(label):
        points = np.argwhere(labels == label) * spacing
        return np.sqrt(((grid[:, None] - points) ** 2).sum(-1)).min(1).reshape(labels.shape)

    nearest = {label: distance(label) for label in (20, 21, 26)}
    geometry = geometry_from(labels.shape[::-1], np.diag([*spacing[::-1], 1]))
    vertebrae = vertebra(labels, 20), vertebra(labels, 21)
    read = Spine(vertebrae, Volume(labels, geometry), [20, 21, 26], ())
    found = vertebra_regions(read, geometry)
    for region in found:
        own = nearest[region.vertebra.label]
        others = np.min([d for label, d in nearest.items() if label != region.vertebra.label], 0)
        expected = (own <= ATTRIBUTION_MARGIN_MM) & (own <= others)
        whole = np.zeros(labels.shape, bool)
        whole[region.box] = region.inside
        np.testing.assert_array_equal(whole, expected)
        assert region.inside.size < labels.size  # of its own box only


@pytest.mark.parametrize("seed", range(6))
def test_growing_side_by_side_is_what_distance_transforms_say(seed):
    """Masks that touch, reach over the edges and leave gaps; spacings that tie and that do not."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 14, 3))
    spacing = np.ones(3) if seed % 2 else rng.uniform(0.5, 2.5, 3)
    drawn = rng.choice(3, shape, p=[0.9, 0.05, 0.05])
    own, others = drawn == 1, drawn == 2
    to_own, to_others = (
        distance_transform_edt(~mask, sampling=spacing) if mask.any() else np.full(shape, np.inf)
        for mask in (own, others)
    )
    wanted = (to_own <= ATTRIBUTION_MARGIN_MM) & (to_own <= to_others)
    found = nearer_within(own, others, ATTRIBUTION_MARGIN_MM, spacing)
    np.testing.assert_array_equal(found, wanted)


def test_where_only_boxes_are_known_the_box_is_the_region():
    boxes = SPINE._replace(labels=None, ids=())
    regions = list(vertebra_regions(boxes, SPINE.labels.geometry))
    for vertebra_, region in zip(boxes.vertebrae, regions, strict=True):
        assert region.measured_in == "box"
        assert region.inside.all()
        assert tuple(side.start for side in region.box) == vertebra_.start
        assert tuple(side.stop for side in region.box) == vertebra_.stop
