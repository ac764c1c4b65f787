import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vfseg.evaluation import statistics
from vfseg.evaluation.metrics import ScoreHistogram, average_precision, confusion, dice
from vfseg.evaluation.ratio import ratio_of_columns
from vfseg.evaluation.statistics import (
    estimate,
    interval,
    pooled_metrics,
    resample_counts,
    resampled_values,
    sum_by_patient,
)


def mean(states):
    """Sum / number: the mean of one value a patient."""
    return states[:, 0] / states[:, 1]


def cohort(cases=7, size=400, seed=0):
    """Scores and truth of a few cases of very different quality."""
    rng = np.random.default_rng(seed)
    made = []
    for case in range(cases):
        truth = rng.random(size) < 0.1
        scores = 1 / (1 + np.exp(-rng.normal(-2, 1, size) - (0.5 * case) * truth))
        made.append((scores.astype(np.float32), truth))
    return made


def histograms_of(cases):
    histograms = [ScoreHistogram() for _ in cases]
    for histogram, (scores, truth) in zip(histograms, cases):
        histogram.add(scores, truth)
    return histograms


def test_resamples_draw_as_many_patients_as_there_are():
    counts = resample_counts(6, seed=1)
    assert counts.shape == (1000, 6)
    assert (counts.sum(axis=1) == 6).all()
    # Mean of each multiplicity is 1, its variance 1 - 1/6: 5 standard errors.
    assert np.abs(counts.mean(axis=0) - 1).max() < 5 * np.sqrt((1 - 1 / 6) / 1000)
    np.testing.assert_array_equal(counts, resample_counts(6, seed=1))
    assert (counts != resample_counts(6, seed=2)).any()


@pytest.mark.parametrize("chunk", [1, 3 * 2 * 65536, 4 << 20])
def test_matrix_form_equals_the_loop_over_resamples(monkeypatch, chunk):
    monkeypatch.setattr(statistics, "_CHUNK_ELEMENTS", chunk)
    cases = cohort()
    states = np.stack([histogram.counts for histogram in histograms_of(cases)])
    fast_precision = resampled_values(average_precision, states, seed=4, resamples=20)
    fast_dice = resampled_values(dice, confusion(states, 0.3), seed=4, resamples=20)

    draws = np.random.default_rng(4).integers(len(cases), size=(20, len(cases)))
    for row, drawn in enumerate(draws):
        scores = np.concatenate([cases[i][0] for i in drawn])
        truth = np.concatenate([cases[i][1] for i in drawn])
        predicted = scores >= 0.3
        loop_dice = 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())
        loop_precision = average_precision_score(truth, np.rint(scores * 65535))
        assert fast_dice[row] == pytest.approx(loop_dice, abs=1e-12)
        assert fast_precision[row] == pytest.approx(loop_precision, abs=1e-12)


def test_interval_covers_the_mean_of_known_data():
    """Percentile bootstrap of a mean: about mean +- 1.96 s / sqrt(n) for many patients."""
    values = np.random.default_rng(0).normal(10, 2, 200)
    low, high = interval(mean, np.stack([values, np.ones(200)], axis=1), seed=0)
    half_width = 1.96 * values.std() / np.sqrt(200)
    assert low == pytest.approx(values.mean() - half_width, abs=0.15 * half_width)
    assert high == pytest.approx(values.mean() + half_width, abs=0.15 * half_width)


def test_interval_needs_five_patients():
    states = np.ones((5, 2))
    assert interval(mean, states, seed=0) == (1.0, 1.0)
    assert interval(mean, states[:4], seed=0) is None


def test_undefined_resamples_are_left_out_where_they_are_rare():
    """Sum / number over those who have one: undefined where none of them is drawn."""
    some = np.array([[3.0, 1.0]] * 3 + [[0.0, 0.0]] * 3)  # undefined in (1/2)^6 = 2 %
    assert interval(ratio_of_columns, some, seed=0) == (3.0, 3.0)
    assert interval(ratio_of_columns, np.zeros((6, 2)), seed=0) is None


@pytest.mark.parametrize("patients", [5, 8, 30, 200])
@pytest.mark.parametrize("bearing", [1, 2])
def test_one_or_two_patients_give_no_interval(patients, bearing):
    """Such as the specificity of cases of which one is negative: the others say nothing of it."""
    states = np.zeros((patients, 2))
    states[:bearing] = (0.5, 1.0)
    assert interval(ratio_of_columns, states, seed=0) is None


@pytest.mark.parametrize("patients", [5, 8, 30, 200])
def test_three_patients_give_one(patients):
    states = np.zeros((patients, 2))
    states[:3] = (0.5, 1.0)
    assert interval(ratio_of_columns, states, seed=0) == (0.5, 0.5)


def test_cases_of_one_patient_are_drawn_together():
    states = np.array([[1, 1], [2, 1], [4, 1], [8, 1], [16, 1], [32, 1], [64, 1]])
    patients = ["a", "b", "a", "c", "d", "e", "e"]
    summed = sum_by_patient(states, patients)
    assert summed.tolist() == [[5, 2], [2, 1], [8, 1], [16, 1], [96, 2]]
    result = estimate(mean, states, patients, seed=3)
    assert result["n"] == 5
    assert result["value"] == pytest.approx(127 / 7)
    assert result["ci95"] == list(interval(mean, summed, seed=3))


def test_a_patient_in_two_spellings_is_drawn_once():
    states = np.array([[1.0, 1], [2, 1], [4, 1], [0, 1], [1, 1], [3, 1]])
    spelled = estimate(mean, states, ["P01", "p1", "b", "c", "d", "e"], seed=3)
    assert spelled == estimate(mean, states, list("aabcde"), seed=3)
    assert spelled["n"] == 5


def test_estimate_without_a_value_or_without_enough_patients():
    nothing = np.zeros((6, 4), np.int64)
    assert estimate(dice, nothing, "abcdef", seed=0) == {"value": None, "ci95": None, "n": 6}
    few = np.array([[2, 1, 1, 6], [2, 1, 1, 6]])
    assert estimate(dice, few, "ab", seed=0) == {"value": 4 / 6, "ci95": None, "n": 2}


def test_same_seed_pairs_two_models():
    """A model that is better by the same amount on every patient is better in every resample."""
    states = np.stack([np.random.default_rng(0).random(9), np.ones(9)], axis=1)
    better = states + np.array([[0.25, 0.0]])
    gain = resampled_values(mean, better, seed=5) - resampled_values(mean, states, seed=5)
    np.testing.assert_allclose(gain, 0.25, rtol=1e-12)


def test_pooled_metrics_gather_what_the_summary_holds():
    cases = cohort()
    histograms = histograms_of(cases)
    summary = pooled_metrics(histograms, list(map(str, range(len(cases)))), 0.3, seed=0)
    scores = np.concatenate([scores for scores, _ in cases])
    truth = np.concatenate([truth for _, truth in cases])
    hits = (scores >= 0.3) & truth
    assert list(summary) == ["dice", "iou", "precision", "recall", "pr_auc", "prevalence"]
    assert summary["prevalence"] == truth.mean()
    assert summary["recall"]["value"] == hits.sum() / truth.sum()
    assert summary["precision"]["value"] == hits.sum() / (scores >= 0.3).sum()
    exact = average_precision_score(truth, scores)
    assert summary["pr_auc"]["value"] == pytest.approx(exact, abs=1e-4)
    for name in ("dice", "iou", "precision", "recall", "pr_auc"):
        low, high = summary[name]["ci95"]
        assert low < summary[name]["value"] < high
        assert summary[name]["n"] == 7
