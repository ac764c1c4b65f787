import numpy as np

from tests.report.scene import SPACING, make_scene
from vfseg.report.foci import Focus, find_foci, level_at

ISOTROPIC = np.ones(3)


def test_lesions_come_first_the_largest_before_the_smaller_then_peaks_elsewhere():
    truth = np.zeros((80, 80, 80), np.uint8)
    truth[10, 10, 10:13] = 7
    truth[10, 60, 10:21] = 2
    probability = np.zeros(truth.shape, np.float32)
    probability[10, 60, 12] = 0.95  # on a lesion: no place of its own
    probability[70, 10, 10] = 0.5
    probability[70, 70, 70] = 0.8
    probability[70, 70, 60] = 0.7  # 10 mm from a higher peak
    foci = find_foci(probability, truth, 0.4, ISOTROPIC, limit=9)
    assert foci == [
        Focus((10, 60, 15), "truth", np.float32(0.95).item(), 11 / 1000),
        Focus((10, 10, 11), "truth", 0.0, 3 / 1000),
        Focus((70, 70, 70), "prediction", np.float32(0.8).item(), None),
        Focus((70, 10, 10), "prediction", 0.5, None),
    ]
    assert find_foci(probability, truth, 0.4, ISOTROPIC, limit=3) == foci[:3]
    assert [f.point for f in find_foci(probability, truth, 0.75, ISOTROPIC, 9)] == [
        (10, 60, 15),
        (10, 10, 11),
        (70, 70, 70),
    ]


def test_a_curved_sheet_is_shown_at_one_of_its_own_voxels():
    truth = np.zeros((30, 30, 30), np.uint8)
    truth[5, 5:25, 5] = truth[5, 5:25, 24] = truth[5, 5, 5:25] = 1  # a U
    (focus,) = find_foci(np.zeros(truth.shape, np.float32), truth, 0.5, ISOTROPIC, 3)
    assert truth[focus.point] == 1


def test_distances_are_millimetres():
    probability = np.zeros((30, 4, 4), np.float32)
    probability[5, 1, 1] = 0.9
    probability[15, 1, 1] = 0.8
    near = find_foci(probability, None, 0.5, np.array([2.0, 1, 1]), 9)  # 20 mm apart
    far = find_foci(probability, None, 0.5, np.array([3.0, 1, 1]), 9)  # 30 mm apart
    assert [f.point for f in near] == [(5, 1, 1)]
    assert [f.point for f in far] == [(5, 1, 1), (15, 1, 1)]


def test_below_the_threshold_the_maximum_is_shown_and_an_empty_map_shows_nothing():
    probability = np.zeros((6, 6, 6), np.float32)
    assert find_foci(probability, None, 0.5, ISOTROPIC, 3) == []
    assert find_foci(probability, np.zeros((6, 6, 6), np.uint8), 0.5, ISOTROPIC, 3) == []
    probability[4, 2, 3] = 0.25
    assert find_foci(probability, None, 0.5, ISOTROPIC, 3) == [
        Focus((4, 2, 3), "maximum", 0.25, None)
    ]


def test_level_is_that_of_the_nearest_body_among_the_boxes_that_hold_the_point():
    scene = make_scene()
    spacing = np.array(SPACING)
    assert level_at((36, 40, 15), scene.vertebrae, spacing) == "L1"
    assert level_at((8, 25, 8), scene.vertebrae, spacing) == "L2"
    assert level_at((22, 40, 15), scene.vertebrae, spacing) == ""  # L2 ends before 22
    assert level_at((36, 40, 15), (), spacing) == ""
