"""One case against figures that follow from where its sheets lie."""

import pickle

import numpy as np
import pytest

from tests.evaluation.scene import SHAPE, SPINE, measured, sheet
from vfseg.data.probability import reaches
from vfseg.evaluation.case_scores import predicted_mask


def test_a_perfect_map_finds_everything():
    truth = sheet(6, 28)
    scores = measured(truth, truth > 0)
    assert scores.voxels.overlap(0.5) == {"dice": 1, "iou": 1, "precision": 1, "recall": 1}
    assert scores.whole.tolist() == [truth.size - 400, 400]
    assert scores.surface.hd95_mm == 0
    assert scores.surface.surface_dice == 1
    assert [(x.instance, x.level, x.found) for x in scores.lesions.lesions] == [
        (1, "L2", (1.0, 1.0)),
        (2, "L1", (1.0, 1.0)),
    ]
    assert scores.lesions.false_positives == ((), ())
    assert [v.fractured for v in scores.vertebrae] == [True, True]
    assert [v.overlap[:3] for v in scores.vertebrae] == [(200, 0, 0)] * 2


def test_rows_of_the_lists_know_the_truth():
    truth = sheet(6)
    probability = 0.6 * (truth > 0)
    probability[28:30, 8:12, 8:12] = 0.9  # 32 voxels in the healthy vertebra
    scores = measured(truth, probability)
    upper, lower = scores.vertebra_rows
    assert (upper["level"], upper["fractured"], upper["truth_ml"]) == ("L1", False, 0)
    assert (lower["level"], lower["fractured"], lower["truth_ml"]) == ("L2", True, 1.6)
    assert (upper["predicted_ml"], lower["predicted_ml"]) == (pytest.approx(0.256), 1.6)
    assert [(row["level"], row["hit"]) for row in scores.lesion_rows] == [
        ("L1", False),
        ("L2", True),
    ]
    assert scores.lesions.false_positives[0] == (pytest.approx(0.9),)


def test_before_a_threshold_is_known_only_what_needs_none_is_measured():
    truth = sheet(6)
    scores = measured(truth, truth > 0, thresholds=None)
    assert scores.lesions is scores.surface is None
    assert scores.vertebra_rows == scores.lesion_rows == ()
    assert scores.vertebrae[1].fractured
    assert scores.vertebrae[1].score == measured(truth, truth > 0).vertebrae[1].score


def test_a_fracture_outside_every_crop_is_counted_and_told(caplog):
    truth = sheet(6)
    truth[0, 3:5] = 9
    scores = measured(truth, truth > 0)
    assert scores.lesions.not_shown == 1
    assert len(scores.lesions.lesions) == 1
    assert f"{2 * 24} of {200 + 2 * 24} fracture voxels lie outside" in caplog.text
    assert "wholly outside every crop, and are not among its lesions: 1" in caplog.text


def test_a_binary_mask_is_taken_apart():
    truth = np.minimum(sheet(6, 28), 1)
    assert len(measured(truth, truth > 0, marked=True).lesions.lesions) == 1
    assert len(measured(truth, truth > 0, marked=False).lesions.lesions) == 2


def test_with_boxes_alone_the_box_is_measured_and_said():
    boxes = SPINE._replace(labels=None, ids=())
    truth = sheet(6)
    scores = measured(truth, truth > 0, spine=boxes)
    assert {v.measured_in for v in scores.vertebrae} == {"box"}
    assert [v.fractured for v in scores.vertebrae] == [False, True]
    assert sum(scores.vertebrae[0].overlap) == 16**3


def test_scores_travel_between_processes():
    truth = sheet(6, 28)
    scores = measured(truth, 0.7 * (truth > 0))
    again = pickle.loads(pickle.dumps(scores))
    assert again.lesions == scores.lesions
    assert again.vertebrae == scores.vertebrae
    assert again.vertebra_rows == scores.vertebra_rows


def test_the_mask_is_cut_by_codes_inside_the_region():
    rng = np.random.default_rng(0)
    probability, region = rng.random(SHAPE).astype(np.float32), rng.random(SHAPE) < 0.5
    region[16:32] = False
    np.testing.assert_array_equal(
        predicted_mask(probability, region, 0.3), reaches(probability, 0.3) & region
    )


def test_specks_of_a_vertebra_are_not_what_reaches_in_from_a_lesion_of_its_neighbour():
    """Vertebrae take in 1 voxel around their blocks: the lower one ends with d = 18."""
    probability = np.zeros(SHAPE)
    probability[17:26, 8:12, 8:12] = 0.9  # 1.15 mL, a lesion of the upper vertebra
    probability[6, 6, 6:18] = 0.9  # 12 voxels, 0.096 mL: less than a list of lesions shows
    upper, lower = measured(sheet(6), probability).vertebra_rows
    assert lower["predicted_ml"] == pytest.approx((2 * 16 + 12) * 0.008)
    assert lower["specks_ml"] == pytest.approx(0.096)
    assert upper["specks_ml"] == 0
