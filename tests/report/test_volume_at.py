import numpy as np

from vfseg.inference.boxed_map import BoxedMap
from vfseg.report.scene import predicted
from vfseg.report.volume_at import volume_at


def test_the_volume_is_that_of_the_mask_at_every_threshold():
    rng = np.random.default_rng(0)
    probability = rng.random((4, 5, 6)).astype(np.float32) * (rng.random((4, 5, 6)) > 0.5)
    thresholds, volumes = volume_at(probability, 0.4137, voxel_ml=0.003)
    assert thresholds == sorted({0.4137, *(step / 100 for step in range(1, 101))})
    expected = [np.count_nonzero(predicted(probability, t)) * 0.003 for t in thresholds]
    np.testing.assert_allclose(volumes, expected)


def test_a_threshold_among_the_steps_is_there_once():
    thresholds, _ = volume_at(np.zeros((1, 1, 1), np.float32), 0.5, voxel_ml=1.0)
    assert len(thresholds) == 100


def test_a_map_of_which_only_a_box_is_held_counts_alike():
    boxed = BoxedMap((3, 4, 5), np.s_[0:2, 1:3, 2:4])
    boxed.fill(np.s_[0:2, 1:3, 2:4], np.full((2, 2, 2), 0.7, np.float32))
    thresholds, volumes = volume_at(boxed, 0.7, voxel_ml=0.5)
    assert volumes[thresholds.index(0.7)] == 8 * 0.5
    assert volumes[thresholds.index(0.71)] == 0
