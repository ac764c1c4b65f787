import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score

from vfseg.data.probability import BINS, reaches
from vfseg.evaluation import metrics
from vfseg.evaluation.metrics import ScoreHistogram

TOP = BINS - 1


def histogram_of(scores, truth, where=None):
    histogram = ScoreHistogram()
    histogram.add(np.asarray(scores), np.asarray(truth), where)
    return histogram


def sparse_scores(seed, size=200_000, prevalence=0.002):
    """Background near 0, positives spread over the upper half, as a trained model gives them."""
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < prevalence
    logits = rng.normal(-5.0, 2.0, size) + 6.0 * truth
    return (1 / (1 + np.exp(-logits))).astype(np.float32), truth


small_cases = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int32, n, elements=st.integers(0, TOP)),
        hnp.arrays(np.bool_, n),
    )
)


@pytest.mark.parametrize("bad", [-1e-6, 1.000001, np.nan, np.inf, 7.0])
def test_scores_that_are_not_probabilities_are_refused_unless_left_out(bad):
    scores, truth = np.array([0.2, bad]), np.array([1, 0])
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]"):
        histogram_of(scores, truth)
    assert histogram_of(scores, truth, np.array([True, False])).prevalence == 1.0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        ScoreHistogram().add(np.zeros((2, 3)), np.zeros((3, 2)))


def test_counts_by_hand():
    histogram = histogram_of([0.0, 1.0, 0.5, 0.5], [0, 2, 1, 0])  # instance ids count as positive
    expected = np.zeros((2, BINS), np.int64)
    expected[1, TOP] = 1
    expected[:, 32768] = 1  # 32767.5 rounds to even
    expected[0, 0] = 1
    np.testing.assert_array_equal(histogram.counts, expected)
    assert histogram.prevalence == 0.5


@pytest.mark.parametrize("slab", [1, 7, 1 << 20])
def test_slabs_and_views_change_nothing(monkeypatch, slab):
    monkeypatch.setattr(metrics, "_SLAB_ELEMENTS", slab)
    rng = np.random.default_rng(0)
    scores = rng.random((4, 6, 5), np.float32).transpose(2, 0, 1)[::-1]
    truth = rng.integers(0, 3, (5, 4, 6)).astype(np.uint8)
    where = rng.random((5, 4, 6)) < 0.5
    twin = np.zeros((2, BINS), np.int64)
    for score, label, kept in zip(scores.ravel(), truth.ravel(), where.ravel()):
        if kept:
            twin[int(label > 0), int(np.rint(score * TOP))] += 1
    np.testing.assert_array_equal(histogram_of(scores, truth, where).counts, twin)


def test_histograms_add_up():
    scores, truth = sparse_scores(1, size=3000, prevalence=0.2)
    parts = [histogram_of(scores[i::3], truth[i::3]) for i in range(3)]
    whole = histogram_of(scores, truth)
    left, right = (parts[0] + parts[1]) + parts[2], parts[0] + (parts[1] + parts[2])
    np.testing.assert_array_equal(left.counts, whole.counts)
    np.testing.assert_array_equal(right.counts, whole.counts)


def test_average_precision_by_hand():
    # Falling scores: hit (P 1, R 1/2), miss, hit (P 2/3, R 1): 1/2 * 1 + 1/2 * 2/3.
    assert histogram_of([0.9, 0.8, 0.7], [1, 0, 1]).average_precision() == pytest.approx(5 / 6)
    # A constant score is one step: precision = prevalence.
    assert histogram_of([0.3] * 4, [1, 0, 0, 0]).average_precision() == 0.25
    assert histogram_of([0.3, 0.1], [1, 1]).average_precision() == 1.0
    assert histogram_of([0.3, 0.1], [0, 0]).average_precision() is None
    assert ScoreHistogram().average_precision() is None


@given(small_cases)
def test_average_precision_on_bins_is_scikit_learn_s(case):
    codes, truth = case
    value = histogram_of(codes / TOP, truth).average_precision()
    if truth.any():
        assert value == pytest.approx(average_precision_score(truth, codes), abs=1e-12)
    else:
        assert value is None


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_raw_scores_within_1e_4_of_scikit_learn(seed):
    scores, truth = sparse_scores(seed)
    exact = average_precision_score(truth, scores)
    assert 0.2 < exact < 0.9  # a case in which errors could show
    assert histogram_of(scores, truth).average_precision() == pytest.approx(exact, abs=1e-4)


def test_a_random_scorer_gets_the_prevalence():
    rng = np.random.default_rng(3)
    histogram = histogram_of(rng.random(500_000), rng.random(500_000) < 0.01)
    assert histogram.average_precision() == pytest.approx(histogram.prevalence, rel=0.1)


@given(small_cases, small_cases)
def test_merging_bins_keeps_the_average_precision(first, second):
    states = np.stack([histogram_of(codes / TOP, truth).counts for codes, truth in (first, second)])
    merged = metrics.merge_bins(states)
    assert merged.shape[-1] <= max(1, states[:, 1].sum())
    for mix in ([1, 0], [0, 1], [1, 1], [3, 2]):
        np.testing.assert_allclose(
            metrics.average_precision(np.tensordot(mix, merged, 1)),
            metrics.average_precision(np.tensordot(mix, states, 1)),
            rtol=1e-12,
        )


def test_overlap_by_hand():
    # At 0.5: hits 0.9, 0.5; false alarm 0.6; missed 0.4; rightly left out 0.1, 0.2.
    histogram = histogram_of([0.9, 0.5, 0.6, 0.4, 0.1, 0.2], [1, 1, 0, 1, 0, 0])
    assert metrics.confusion(histogram.counts, 0.5).tolist() == [2, 1, 1, 2]
    expected = {"dice": 4 / 6, "iou": 2 / 4, "precision": 2 / 3, "recall": 2 / 3}
    assert histogram.overlap(0.5) == pytest.approx(expected)


def test_overlap_with_an_empty_reference_or_an_empty_prediction():
    nothing = dict.fromkeys(metrics.OVERLAP_METRICS)
    assert histogram_of([0.1, 0.2], [0, 0]).overlap(0.5) == nothing
    assert histogram_of([0.1, 0.7], [0, 0]).overlap(0.5) == {**nothing, "precision": 0.0}
    missed = {"dice": 0.0, "iou": 0.0, "precision": None, "recall": 0.0}
    assert histogram_of([0.1, 0.2], [0, 1]).overlap(0.5) == missed


@given(small_cases, st.floats(0, 1))
def test_counts_agree_with_the_mask_that_is_written(case, threshold):
    codes, truth = case
    predicted = reaches(codes / TOP, threshold)
    expected = [
        np.sum(predicted & truth),
        np.sum(predicted & ~truth),
        np.sum(~predicted & truth),
        np.sum(~predicted & ~truth),
    ]
    histogram = histogram_of(codes / TOP, truth)
    assert metrics.confusion(histogram.counts, threshold).tolist() == expected
    away_from_ties = np.abs(codes / TOP - threshold) > 1 / TOP
    np.testing.assert_array_equal(
        predicted[away_from_ties], (codes / TOP >= threshold)[away_from_ties]
    )


def exhaustive_dice(histogram):
    """Highest Dice over all thresholds above 0, one by one."""
    used = np.flatnonzero(histogram.counts.any(axis=0))
    return max(histogram.overlap(code / TOP)["dice"] for code in used if code > 0)


@settings(max_examples=50)
@given(small_cases)
def test_best_threshold_loses_at_most_1_in_256_of_dice(case):
    codes, truth = np.maximum(case[0], 1), case[1]
    histogram = histogram_of(codes / TOP, truth)
    best = histogram.best_threshold()
    if not truth.any():
        assert best is None
        return
    assert best.dice == histogram.overlap(best.value)["dice"]
    assert best.dice >= exhaustive_dice(histogram) - 1 / 256


def test_best_threshold_resolves_the_tail_at_low_prevalence(monkeypatch):
    scores, truth = sparse_scores(5)
    histogram = histogram_of(scores, truth)
    exact = exhaustive_dice(histogram)
    best = histogram.best_threshold()
    assert best.dice == pytest.approx(exact, abs=1 / 256)
    assert not best.on_edge
    # As many plain quantiles of all scores miss it by far.
    monkeypatch.setattr(metrics, "THRESHOLD_CANDIDATES", 101)
    plain = np.quantile(scores, np.linspace(0, 1, 101))
    assert max(histogram.overlap(float(t))["dice"] for t in plain) < exact - 0.1
    assert histogram.best_threshold().dice > exact - 1 / 25


def test_best_threshold_on_the_edge_and_ties():
    # Separable: every threshold in (0.2, 0.8] has Dice 1; candidates there are scores: 0.8.
    clean = histogram_of([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]).best_threshold()
    assert clean.value == pytest.approx(0.8, abs=1e-5)
    assert (clean.dice, clean.on_edge) == (1.0, False)
    # 0.8: 2*1/(1+0+2) = 2/3. 0.4: 2*2/(2+2+2) = 2/3. The lower wins; 0.3 and 0.2 are worse.
    tie = histogram_of([0.8, 0.6, 0.5, 0.4, 0.3, 0.2], [1, 0, 0, 1, 0, 0]).best_threshold()
    assert tie.value == pytest.approx(0.4, abs=1e-5)
    assert tie.dice == pytest.approx(2 / 3)
    # Worst above best: predicting everything is the best that can be had.
    upside_down = histogram_of([0.9, 0.1], [0, 1]).best_threshold()
    assert upside_down.on_edge
    assert upside_down.value == pytest.approx(0.1, abs=1e-5)
    # A score of 0 never becomes a threshold: it is what lies outside every crop.
    silent = histogram_of([0.0, 0.0], [0, 1]).best_threshold()
    assert silent == (1 / TOP, 0.0, True)
