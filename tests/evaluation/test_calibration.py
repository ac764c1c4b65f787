import numpy as np
import pytest
from scipy.special import expit, logit

from vfseg.data.probability import BINS
from vfseg.evaluation.calibration import (
    bin_logits,
    calibration_error,
    fit_temperature,
    reliability_curve,
    reliability_states,
    suspected_error,
)
from vfseg.evaluation.metrics import ScoreHistogram


def voxels(temperature, size=60_000, seed=0):
    """Scores whose logits are `temperature` times those that the truth is drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2, 1.5, size)
    return expit(temperature * logits), rng.random(size) < expit(logits)


def counts_of(scores, truth):
    histogram = ScoreHistogram()
    histogram.add(scores, truth)
    return histogram.counts


def slow_ece(scores, truth, lowest=0):
    error, total = 0.0, 0
    for number in range(lowest, 15):
        inside = (scores * 15).astype(int).clip(max=14) == number
        if inside.any():
            error += inside.sum() * abs(truth[inside].mean() - scores[inside].mean())
            total += inside.sum()
    return error / total


def test_logits_of_the_codes_are_finite_and_symmetric():
    logits = bin_logits()
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, -logits[::-1], atol=1e-9)
    assert logits[0] == logit(0.5 / (BINS - 1))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_known_logits_is_found(temperature):
    found = fit_temperature(counts_of(*voxels(temperature)))
    assert found == pytest.approx(temperature, rel=0.03)


def test_without_both_classes_there_is_no_temperature():
    assert fit_temperature(counts_of(np.array([0.2, 0.4]), np.array([0, 0]))) is None
    assert fit_temperature(counts_of(np.array([0.2, 0.4]), np.array([1, 1]))) is None


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_errors_equal_the_loop_over_voxels(temperature):
    scores, truth = voxels(2.0)
    scores = np.rint(scores * (BINS - 1)) / (BINS - 1)
    scores[:3] = 0, 1, 1 / 15  # the ends, and an edge of bins
    states = reliability_states(counts_of(scores, truth), temperature)
    if temperature != 1:
        half = 0.5 / (BINS - 1)
        scores = expit(logit(np.clip(scores, half, 1 - half)) / temperature)
    assert calibration_error(states) == pytest.approx(slow_ece(scores, truth), abs=1e-9)
    assert suspected_error(states) == pytest.approx(slow_ece(scores, truth, 1), abs=1e-9)
    for (score, share, number), inside in zip(
        reliability_curve(states),
        (scores * 15).astype(int).clip(max=14) == np.arange(15)[:, None],
        strict=True,
    ):
        assert number == inside.sum()
        assert score == pytest.approx(scores[inside].mean())
        assert share == pytest.approx(truth[inside].mean())


def test_the_right_temperature_lowers_the_error():
    counts = counts_of(*voxels(2.5))
    raw, scaled = (reliability_states(counts, t) for t in (1.0, fit_temperature(counts)))
    assert calibration_error(scaled) < 0.1 * calibration_error(raw)


def test_tables_of_cases_add_up_and_nothing_counted_has_no_error():
    cases = np.stack([counts_of(*voxels(1.5, 500, seed)) for seed in range(3)])
    np.testing.assert_allclose(
        reliability_states(cases).sum(0), reliability_states(cases.sum(0)), rtol=1e-12
    )
    assert np.isnan(calibration_error(np.zeros((3, 15))))
    low = reliability_states(counts_of(np.array([0.01, 0.02]), np.array([0, 0])))
    assert calibration_error(low) == pytest.approx(0.015, abs=1e-5)
    assert np.isnan(suspected_error(low))
    assert len(reliability_curve(low)) == 1
