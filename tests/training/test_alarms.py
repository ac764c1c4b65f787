"""A training that has gone wrong stops, and says where and why."""

import logging

import pytest

from vfseg.errors import UserError
from vfseg.training.alarms import Alarms

HEALTHY = {
    "loss": 1.0,
    "probability_on_fracture": 0.4,
    "probability_on_background": 0.01,
    "discriminator_accuracy": 0.7,
}


def _line(**changes):
    return {**HEALTHY, **changes}


def test_a_healthy_run_is_let_alone():
    alarms = Alarms(1)
    for step in (10, 20, 30):
        alarms.check(step, HEALTHY)


def test_what_is_not_finite_stops_at_once_and_is_named():
    alarms = Alarms(5, since=100)
    alarms.check(110, HEALTHY)
    with pytest.raises(UserError, match=r"steps 111 to 120: cross_entropy_loss, loss not finite"):
        alarms.check(120, _line(loss=float("nan"), cross_entropy_loss=float("inf")))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probability_on_fracture": 0.001}, "collapsed to background.*config.losses.dice"),
        ({"discriminator_accuracy": 1.0}, "discriminator has won.*discriminator_learning_rate"),
        ({"discriminator_accuracy": 0.501}, "discriminator is dead.*pause_above"),
    ],
)
def test_what_lasts_stops(change, words, caplog):
    alarms = Alarms(4)
    with caplog.at_level(logging.WARNING, logger="absl"):
        alarms.check(1, _line(**change))
        assert not caplog.records
        alarms.check(2, _line(**change))
        assert len(caplog.records) == 1, "half way it warns"
        alarms.check(3, _line(**change))
    with pytest.raises(UserError, match=f"stopped at step 4: .*{words}"):
        alarms.check(4, _line(**change))


def test_a_good_line_begins_the_count_anew_and_patience_0_never_stops():
    alarms, endless = Alarms(2), Alarms(0)
    for step in range(0, 20, 2):
        alarms.check(step, _line(discriminator_accuracy=1.0))
        alarms.check(step + 1, HEALTHY)
        endless.check(step, _line(discriminator_accuracy=1.0))


def test_an_untrained_network_that_answers_alike_everywhere_is_not_yet_told_from_a_collapsed_one():
    """0.015 on both: collapsed if it lasts; 0.015 against 0.005: it has begun to learn."""
    with pytest.raises(UserError, match="collapsed"):
        Alarms(1).check(1, _line(probability_on_fracture=0.015, probability_on_background=0.015))
    Alarms(1).check(1, _line(probability_on_fracture=0.015, probability_on_background=0.005))


def test_stages_without_discriminator_have_no_accuracy():
    line = _line()
    del line["discriminator_accuracy"]
    Alarms(1).check(1, line)
