import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vfseg.evaluation.hounsfield_floor import HounsfieldHistogram, hu_threshold_floor


def histogram_of(ct, truth, where=None):
    histogram = HounsfieldHistogram()
    histogram.add(np.asarray(ct, np.int16), np.asarray(truth), where)
    return histogram


def test_floor_is_the_best_of_100_binary_scorers():
    rng = np.random.default_rng(0)
    truth = rng.random(5000) < 0.05
    ct = np.rint(rng.normal(150, 200, 5000) - 150 * truth).astype(np.int16)
    twin = {}
    for threshold in np.linspace(-200, 1300, 50):
        for direction, mask in (("bright", ct >= threshold), ("dark", ct <= threshold)):
            twin[average_precision_score(truth, mask)] = (threshold, direction)
    floor = hu_threshold_floor(histogram_of(ct, truth))
    assert floor.pr_auc == pytest.approx(max(twin), abs=1e-12)
    assert (floor.hounsfield, floor.direction) == twin[max(twin)]
    assert floor.direction == "dark"  # the positives were made darker


def test_floor_by_hand():
    # HU >= about 1000 finds one of two positives and nothing else: 1/2 * 1 + 1/2 * 2/4 = 3/4.
    floor = hu_threshold_floor(histogram_of([1200, 100, 100, 100], [1, 1, 0, 0]))
    assert floor.pr_auc == pytest.approx(3 / 4)
    assert floor.direction == "bright"
    assert 100 < floor.hounsfield <= 1200


def test_a_ct_that_says_nothing_has_the_prevalence_as_floor():
    histogram = histogram_of([50] * 8, [1, 0, 0, 0, 0, 0, 0, 0])
    assert hu_threshold_floor(histogram).pr_auc == pytest.approx(1 / 8)
    assert histogram.prevalence == 1 / 8
    assert hu_threshold_floor(histogram_of([50, 60], [0, 0])) is None


def test_extremes_of_int16_and_addition_over_cases():
    ct = np.array([[-32768, 32767], [-1024, 0]], np.int16)
    truth = np.array([[1, 0], [0, 2]])
    whole = histogram_of(ct, truth)
    assert np.argwhere(whole.counts).tolist() == [[0, 31744], [0, 65535], [1, 0], [1, 32768]]
    parts = histogram_of(ct[:1], truth[:1]) + histogram_of(ct[1:], truth[1:])
    np.testing.assert_array_equal(parts.counts, whole.counts)
    kept = histogram_of(ct, truth, np.array([[False, True], [False, True]]))
    assert kept.prevalence == 0.5


def test_only_int16_is_hounsfield():
    with pytest.raises(ValueError, match="int16"):
        HounsfieldHistogram().add(np.zeros(3, np.float32), np.zeros(3))
