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
    "discriminator_learning_rate": 1e-3,  # whatever else is logged does not matter
}
WON = {**HEALTHY, "discriminator_accuracy": 1.0}


def _line(**changes):
    return {**HEALTHY, **changes}


def _alarms(patience, begin=0, everywhere=False):
    return Alarms(patience, begin=begin, everywhere=everywhere)


def _stops_at(alarms, lines):
    """Step of the line that stops training; None where none does."""
    for step, scalars in lines:
        try:
            alarms.check(step, scalars)
        except UserError:
            return step
    return None


def test_a_healthy_run_is_let_alone():
    assert _stops_at(_alarms(1), [(10, HEALTHY), (20, HEALTHY)]) is None


def test_what_is_not_finite_stops_at_once_and_is_named():
    """While the rate warms up, too."""
    alarms = _alarms(500, begin=1000)
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
    alarms = _alarms(40)
    with caplog.at_level(logging.WARNING, logger="absl"):
        alarms.check(10, _line(**change))
        assert not caplog.records
        alarms.check(20, _line(**change))
        assert len(caplog.records) == 1, "half way it warns"
        alarms.check(30, _line(**change))
    with pytest.raises(UserError, match=f"stopped at step 40: .*{words}"):
        alarms.check(40, _line(**change))
    assert len(caplog.records) == 1, "once"


@pytest.mark.parametrize("lines", [range(1, 200), range(10, 200, 10), (3, 4, 5, 30, 35, 60, 70)])
def test_steps_count_and_not_lines(lines):
    """From step 30 on it goes wrong; 30 steps later is step 60, however often is logged."""
    logged = [(step, WON if step > 30 else HEALTHY) for step in lines]
    assert _stops_at(_alarms(30), logged) == 60


@pytest.mark.parametrize(("begin", "stops"), [(0, 30), (20, 50), (25, 60), (200, None)])
def test_nothing_counts_while_the_rate_warms_up(begin, stops):
    """30 steps after that; where it ends within a line (20, 30], the part after it counts."""
    assert _stops_at(_alarms(30, begin), [(step, WON) for step in range(10, 100, 10)]) == stops


def test_a_resumed_run_stops_where_a_straight_one_does():
    lines = [(step, WON) for step in range(10, 100, 10)]
    straight, resumed = _alarms(50, begin=10), _alarms(50, begin=10)
    for step, scalars in lines[:4]:
        resumed.recall(step, scalars)
    assert _stops_at(straight, lines) == _stops_at(resumed, lines[4:]) == 60


def test_what_was_passed_does_not_stop_with_less_patience_but_the_next_line_does():
    alarms = _alarms(20)
    for step in range(10, 100, 10):
        alarms.recall(step, WON)
    assert _stops_at(alarms, [(100, WON)]) == 100


def test_a_good_line_begins_the_count_anew_and_patience_0_never_stops():
    turns = [(step, WON if step % 20 else HEALTHY) for step in range(10, 200, 10)]
    assert _stops_at(_alarms(20), turns) is None
    assert _stops_at(_alarms(0), [(step, WON) for step in range(10, 200, 10)]) is None


@pytest.mark.parametrize(
    ("on_fracture", "on_background", "collapsed"),
    [
        (0.015, 0.015, True),  # an untrained network answers alike: a collapse if it lasts
        (0.015, 0.005, False),  # it has begun to learn
        (5e-4, 1e-4, True),  # five times as likely, and yet nothing is found
        (5e-4, 1e-6, True),
        (0.03, 0.03, False),
    ],
)
def test_a_collapse_is_told_from_a_beginning(on_fracture, on_background, collapsed):
    line = _line(probability_on_fracture=on_fracture, probability_on_background=on_background)
    assert _stops_at(_alarms(1), [(1, line)]) == (1 if collapsed else None)


def test_a_discriminator_that_judges_empty_patches_may_guess(caplog):
    """It can do no better on most of them: that is said, and training goes on."""
    lines = [(step, _line(discriminator_accuracy=0.5)) for step in range(10, 200, 10)]
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert _stops_at(_alarms(40, everywhere=True), lines) is None
    assert ["dead" in record.getMessage() for record in caplog.records] == [True]
    assert _stops_at(_alarms(40), lines) == 40
    assert _stops_at(_alarms(40, everywhere=True), [(50, WON)]) == 50, "a won game stops there, too"


def test_stages_without_discriminator_have_no_accuracy():
    line = _line()
    del line["discriminator_accuracy"]
    assert _stops_at(_alarms(1), [(1, line)]) is None
