"""What a prediction takes: room on the disk by its definition, memory by what is held.

How near the estimate of the memory comes to the peak of whole processes is a matter of
`benchmarks/estimates.py`.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.cohort import tiny_config
from vfseg.data.geometry import geometry_from
from vfseg.data.schemes import LEVELS
from vfseg.inference.estimate import estimate, region_voxels, result_bytes

PREPARE = tiny_config().prepare
CROP_MM3 = np.prod(PREPARE.crop_shape) * PREPARE.voxel_spacing**3


def grid(shape, spacing):
    return geometry_from(shape, np.diag([spacing] * 3 + [1]))


def model(views=1, side_by_side=1):
    predictor = SimpleNamespace(crops_side_by_side=side_by_side, operations=lambda *_: 1e9)
    return SimpleNamespace(
        prepare=PREPARE, predictor=predictor, members=(None,), predictions=views, finest_features=4
    )


def test_crops_of_all_levels_count_but_no_more_than_the_ct_has():
    assert region_voxels(grid((400, 400, 400), 0.5), PREPARE) == pytest.approx(
        len(LEVELS) * CROP_MM3 / 0.125
    )
    assert region_voxels(grid((20, 20, 20), 3.0), PREPARE) == 20**3


@pytest.mark.parametrize(("views", "bytes_a_voxel"), [(1, 5), (2, 7), (4, 7)])
def test_a_map_a_mask_and_with_several_views_the_spread(views, bytes_a_voxel):
    """Two bytes a voxel of map and lesions each, one of the mask; next to none elsewhere."""
    small, large = grid((20, 20, 20), 3.0), grid((40, 20, 20), 3.0)
    more = result_bytes(large, PREPARE, views) - result_bytes(small, PREPARE, views)
    assert more == pytest.approx(bytes_a_voxel * 20**3, rel=0.01)
    empty = grid((800, 400, 400), 0.5), grid((400, 400, 400), 0.5)
    more = result_bytes(empty[0], PREPARE, views) - result_bytes(empty[1], PREPARE, views)
    assert 0 < more < 0.01 * 400**3


def test_a_large_ct_takes_two_bytes_a_voxel_its_label_map_one_and_its_lists_nearly_one():
    one, two = grid((2000, 500, 500), 0.7), grid((4000, 500, 500), 0.7)
    for labelled, held in ((False, 2), (True, 3)):
        more = estimate(two, model(), labelled=labelled)[1]
        more -= estimate(one, model(), labelled=labelled)[1]
        assert more == pytest.approx((held + 0.95) * 2000 * 500**2)


def test_more_views_and_more_crops_side_by_side_take_more():
    at = grid((200, 200, 200), 1.0)
    seconds, memory = estimate(at, model(), labelled=True)
    assert estimate(at, model(views=4), labelled=True)[0] > seconds
    assert estimate(at, model(views=4), labelled=True)[1] > memory
    assert estimate(at, model(side_by_side=2), labelled=True)[1] > memory
