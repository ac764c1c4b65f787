"""Stages and the learning rate that goes with them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from vfseg.training.schedules import discriminator_rate, generator_rate
from vfseg.training.settings import SCHEDULES, StageSettings
from vfseg.training.stages import Phase, plan_stages, stage_at


def _stages(**steps):
    steps = {"attention": 0, "recurrent": 0, "adversarial": 0, "fine_tune": 0} | steps
    return StageSettings(**steps)


def test_all_four_stages_in_their_order():
    settings = _stages(attention=3, recurrent=4, adversarial=5, fine_tune=2)
    stages = plan_stages(settings, frozen=True)
    assert [(s.name, s.first, s.last) for s in stages] == [
        ("attention", 0, 3),
        ("recurrent", 3, 7),
        ("adversarial", 7, 12),
        ("fine_tune", 12, 14),
    ]
    assert [s.phase for s in stages] == [
        Phase(recurrent=False, adversarial=False, frozen=True),
        Phase(recurrent=True, adversarial=False, frozen=True),
        Phase(recurrent=True, adversarial=True, frozen=True),
        Phase(recurrent=True, adversarial=True, frozen=False),
    ]
    assert settings.total == 14
    at = [stage_at(stages, step).name for step in (0, 2, 3, 11, 12, 14)]
    assert at == ["attention", "attention", "recurrent", "adversarial", "fine_tune", "fine_tune"]


def test_stages_without_steps_are_left_out():
    stages = plan_stages(_stages(recurrent=4, fine_tune=1), frozen=False)
    assert [s.name for s in stages] == ["recurrent", "fine_tune"]
    assert not stages[1].phase.adversarial, "there is no discriminator to go on with"


@pytest.mark.parametrize("form", SCHEDULES)
def test_the_rate_rises_then_falls_to_the_fine_tuning_rate_and_on_to_0(form):
    rate = generator_rate(form, 1.0, 100, 0.1, 20)
    steps = np.array([float(rate(step)) for step in range(121)])
    assert_allclose(steps[[0, 5, 100, 120]], [0, 1, 0.1, 0], atol=1e-6)
    assert np.all(np.diff(steps[:6]) > 0)
    assert np.all(np.diff(steps[5:]) <= 1e-7)
    without = generator_rate(form, 1.0, 100, 0.1, 0)
    assert_allclose(without(100), 0, atol=1e-6)


def test_the_forms_half_way():
    """Warm-up to step 10, half way at 105: cos, the end of the constant half, 0.5 ** 0.9."""
    half = {form: float(generator_rate(form, 1.0, 200, 1.0, 0)(105)) for form in SCHEDULES}
    assert_allclose(half["cosine"], 0.5, atol=1e-6)
    assert_allclose(half["constant_linear"], 1.0, atol=1e-6)
    assert_allclose(half["polynomial"], 0.5**0.9, atol=1e-6)


def test_the_discriminators_rate_is_constant_until_fine_tuning_lowers_both():
    """There the generator's begins at a tenth of its peak and falls to 0."""
    generator = generator_rate("cosine", 0.02, 100, 0.002, 20)
    rate = discriminator_rate(5.0, generator, 0.02, 100)
    assert_allclose([rate(step) for step in (0, 50, 99)], 5.0)
    assert_allclose([rate(step) for step in (100, 110, 120)], [0.5, 0.25, 0], atol=1e-6)
