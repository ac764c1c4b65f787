import numpy as np
import pytest

from tests.report.scene import SPACING, make_scene
from vfseg.data.box import whole
from vfseg.data.instances import separated
from vfseg.data.probability import code_score, score_bin
from vfseg.inference.boxed_map import BoxedMap
from vfseg.report.foci import Focus, find_foci, level_at

ISOTROPIC = np.ones(3)


def as_stored(probability, boxed):
    """The map as a run reads it: from its file, or boxed as a prediction leaves it."""
    if not boxed:
        return code_score(score_bin(probability))
    boxed_map = BoxedMap(probability.shape, whole(probability.shape))
    boxed_map.fill(boxed_map.box, probability)
    return boxed_map


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_a_map_and_a_boxed_map_show_the_same_places(boxed, dtype):
    scene = make_scene()
    truth = scene.reference.instances.astype(dtype)
    probability = as_stored(scene.probability, boxed)
    lesion, peak = find_foci(probability, truth, 0.41, np.array(SPACING), 3)
    assert (lesion.found_by, peak.found_by) == ("truth", "prediction")
    assert lesion.probability == code_score(score_bin(np.float32(0.9)))
    assert peak == Focus((14, 40, 12), "prediction", code_score(score_bin(0.6)), None)
    (highest, *_) = find_foci(probability, np.zeros_like(truth), 0.95, np.array(SPACING), 3)
    assert (highest.found_by, highest.probability) == ("maximum", lesion.probability)


@pytest.mark.parametrize("boxed", [False, True])
def test_a_voxel_exactly_at_the_threshold_is_a_peak(boxed):
    """As in the mask: the stored 0.4 is below 0.4 as a float, its code is that of the threshold."""
    votes = np.zeros((8, 8, 8), np.float32)
    votes[2, 3, 4] = 6 / 15
    probability = as_stored(votes, boxed)
    assert 0 < probability[2][3, 4] < 0.4
    (focus,) = find_foci(probability, None, 0.4, ISOTROPIC, 3)
    assert (focus.point, focus.found_by) == ((2, 3, 4), "prediction")


def test_parts_of_a_binary_mask_are_lesions_of_their_own():
    """Each at its own middle, as evaluation counts them; not one lesion between them."""
    mask = np.zeros((60, 20, 20), np.uint8)
    mask[5, 5:10, 5:10] = mask[50, 5:9, 5:10] = 255
    foci = find_foci(np.zeros(mask.shape, np.float32), separated(mask, False), 0.5, ISOTROPIC, 3)
    assert [(focus.point[0], focus.volume_ml) for focus in foci] == [(5, 0.025), (50, 0.02)]


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
    assert level_at((36, 40, 15), scene.spine.vertebrae, spacing) == "L1"
    assert level_at((8, 25, 8), scene.spine.vertebrae, spacing) == "L2"
    assert level_at((22, 40, 15), scene.spine.vertebrae, spacing) == ""  # L2 ends before 22
    assert level_at((36, 40, 15), (), spacing) == ""
