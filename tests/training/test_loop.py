"""Stopping and resuming changes nothing; every function is traced once."""

import dataclasses
import functools
import logging

import jax
import numpy as np
import pytest

from tests.cohort import tiny_config, write_store
from tests.training.tiny import ADVERSARIAL, SUPERVISED
from vfseg.config.recipe import initial_state, training_plan
from vfseg.crops.windows import BatchFeed
from vfseg.errors import UserError
from vfseg.training import loop
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.parallel import JitRunner
from vfseg.training.writer import read_metrics


class Killed(Exception):
    """Stands for whatever ends a process."""


_make_runner = functools.cache(loop.make_runner)


@pytest.fixture(autouse=True)
def _compiled_once(monkeypatch):
    """A run that goes on has the steps of its plan compiled already, and so have equal plans."""
    monkeypatch.setattr(loop, "make_runner", _make_runner)


@functools.cache
def _step(**numbers):
    """The step of plans whose stages have these numbers of steps."""
    return training_plan(noisy(**steps(**numbers))).step


def _plan(*, every=None, **numbers):
    """A training of so many steps; with other settings than the tiny ones for `config.train`."""
    plan = training_plan(noisy(**steps(**numbers), **(every or {})))
    return dataclasses.replace(plan, step=_step(**numbers))


def _train(workdir, plan, records, monkeypatch, killed_at=None):
    """Trains, or is killed when it asks for batch `killed_at`; returns the windows it saw."""
    seen, next_batch = [], BatchFeed.__next__

    def noted(feed):
        if len(seen) == killed_at:
            raise Killed
        batch = next_batch(feed)
        seen.append(batch["ct"].copy())
        return batch

    def validate(g_params):
        leaves = jax.tree.leaves(g_params)
        return {"pr_auc": float(np.mean([np.abs(leaf).mean() for leaf in leaves]))}

    with monkeypatch.context() as patch:
        patch.setattr(BatchFeed, "__next__", noted)
        try:
            loop.train(plan, workdir, workdir.parent / "store", records, validate)
        except Killed:
            assert killed_at is not None
    return seen


def _newest(workdir, like):
    checkpoints = Checkpoints(workdir / "checkpoints")
    return checkpoints.restore(checkpoints.newest, like)


def noisy(**changes):
    return tiny_config(**{"augment.noise": 10.0, **changes})


def steps(**each):
    """Steps of the stages; the others have none."""
    none = {"attention": 0, "recurrent": 0, "adversarial": 0, "fine_tune": 0}
    return {f"stages.{name}": number for name, number in (none | each).items()}


@pytest.fixture
def cohort(tmp_path):
    config = noisy()
    return config, write_store(tmp_path / "store", config)


def test_two_and_two_steps_are_four_steps(tmp_path, cohort, monkeypatch):
    """Bitwise: parameters, optimisers, step and key; and the same windows in the same order.

    The run is killed in its third step, after the checkpoint of the second. The discriminator
    joins at step 2, so both phases and the change between them are resumed.
    """
    config, records = cohort
    plan, like = _plan(recurrent=2, adversarial=2), initial_state(config)
    straight_seen = _train(tmp_path / "straight", plan, records, monkeypatch)
    broken_seen = _train(tmp_path / "broken", plan, records, monkeypatch, killed_at=2)
    halfway = _newest(tmp_path / "broken", like)
    assert int(halfway.state.step) == 2
    assert halfway.next_sample == 2 * config.windows.batch_size
    broken_seen += _train(tmp_path / "broken", plan, records, monkeypatch)

    straight, broken = (_newest(tmp_path / name, like) for name in ("straight", "broken"))
    assert int(broken.state.step) == 4
    jax.tree.map(np.testing.assert_array_equal, broken.state, straight.state)
    assert broken.next_sample == straight.next_sample == 4 * config.windows.batch_size
    assert len(straight_seen) == 4
    for one, other in zip(straight_seen, broken_seen, strict=True):
        np.testing.assert_array_equal(one, other)
    lines = [line["step"] for line in read_metrics(tmp_path / "broken" / "metrics.jsonl")]
    assert lines == [1, 2, 2, 3, 4, 4]


def test_each_phase_is_traced_once(tmp_path, cohort, caplog):
    """Neither later batches, nor validation, nor a resumed run compile a step again."""
    caplog.set_level(logging.INFO, logger="absl")
    config, records = cohort
    traces, plan = [], training_plan(config)

    def counted(*arguments, phase, **rest):
        traces.append(phase)
        return plan.step(*arguments, phase=phase, **rest)

    counting = dataclasses.replace(plan, step=counted)
    loop.train(counting, tmp_path / "w", tmp_path / "store", records, lambda _: {"pr_auc": 0.5})
    assert traces == [SUPERVISED, ADVERSARIAL]
    loop.train(counting, tmp_path / "w", tmp_path / "store", records, lambda _: {"pr_auc": 0.5})
    assert traces == [SUPERVISED, ADVERSARIAL], "a finished run does not train again"
    (table,) = [text for text in caplog.messages if "| Name" in text]
    assert "generator/" in table, "one table of all parameters, and once"
    assert "discriminator/" in table


def test_the_best_and_the_newest_checkpoints_are_kept(tmp_path, cohort):
    config, records = cohort
    scores = iter([0.2, 0.9, 0.1, 0.3, 0.3, 0.4])
    plan = _plan(recurrent=6, every={"train.validate_every": 1})
    loop.train(
        plan, tmp_path / "w", tmp_path / "store", records, lambda _: {"pr_auc": next(scores)}
    )
    checkpoints = Checkpoints(tmp_path / "w" / "checkpoints")
    assert (checkpoints.best, checkpoints.newest) == (2, 6)
    assert checkpoints.config(2)["seed"] == config.seed
    kept = {p.name for p in (tmp_path / "w" / "checkpoints").iterdir() if p.is_dir()}
    assert kept == {"2", "4", "5", "6"}


def test_an_alarm_comes_at_the_same_step_in_a_run_that_was_killed(tmp_path, cohort, monkeypatch):
    """So small a network finds nothing in three steps after the warm-up, which is the first."""
    _, records = cohort
    plan = _plan(recurrent=6, every={"train.patience": 3})
    _train(tmp_path / "killed", plan, records, monkeypatch, killed_at=2)
    for name in ("killed", "straight"):
        with pytest.raises(UserError, match=r"stopped at step 4: the generator .* for 3 steps"):
            _train(tmp_path / name, plan, records, monkeypatch)


def test_patience_is_counted_in_steps_from_the_end_of_the_warm_up(tmp_path, cohort, monkeypatch):
    """That is step 1: 5 % of the 22 before fine-tuning. Patience is 1 times 2 steps.

    There is a line at every step, since there is a checkpoint: their number says nothing.
    """
    _, records = cohort
    every = {"train.patience": 1, "train.log_every": 2, "train.save_every": 1}
    plan = _plan(recurrent=22, fine_tune=78, every=every)
    with pytest.raises(UserError, match=r"stopped at step 3: .*, for 2 steps"):
        _train(tmp_path / "w", plan, records, monkeypatch)


def test_a_validation_that_is_made_again_is_logged_once(tmp_path, cohort, monkeypatch):
    """The run is killed between the line and the score, after its second step."""
    _, records = cohort
    plan = _plan(recurrent=6)
    workdir, events = tmp_path / "w", []

    def killed(*_):
        (path,) = (workdir / "tensorboard").iterdir()
        events.append(path.read_bytes())
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "score", killed)
        _train(workdir, plan, records, monkeypatch, killed_at=99)
    lines = read_metrics(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 2], "it was logged"
    assert events[0].count(b"train/dice_loss") == 2, "curves are on disk as soon as checkpoints"
    _train(workdir, plan, records, monkeypatch)
    lines = read_metrics(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 4, 5, 6, 6]


def test_a_batch_that_does_not_fit_is_answered_with_advice(tmp_path, cohort, monkeypatch):
    """As on a device that is full at the third step; what was saved after the second is kept."""
    _, records = cohort
    genuine, done = JitRunner.step, []

    def full(*arguments, phase):
        if len(done) == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 GB")
        done.append(phase)
        return genuine(*arguments, phase=phase)

    monkeypatch.setattr(JitRunner, "step", full)
    with pytest.raises(
        UserError, match=r"not enough memory \(.*9 GB\)\. A smaller config.windows.b"
    ):
        _train(tmp_path / "w", _plan(recurrent=2, adversarial=2), records, monkeypatch)
    assert Checkpoints(tmp_path / "w" / "checkpoints").newest == 2


def test_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(UserError, match="no checkpoints"):
        Checkpoints(tmp_path / "nothing")
