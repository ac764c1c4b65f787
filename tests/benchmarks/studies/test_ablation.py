"""The ablation's plan: equal targets, equal time, what is skipped, and how it is summed up."""

import json
import os
import sys
import threading

import numpy as np
import pytest

from benchmarks.studies import ablation
from vfseg.errors import UserError
from vfseg.training.stages import STAGES, total_steps


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_every_variant_takes_the_steps_it_is_given(name):
    for steps in (8, 600, 601):
        config = ablation.variant_config(name, steps, {})
        assert total_steps(config) == steps


def test_stages_keep_their_shares():
    small = ablation.variant_config("full recipe", 300, {}).stages
    large = ablation.variant_config("full recipe", 3000, {}).stages
    for stage in STAGES:
        assert abs(10 * small[stage] - large[stage]) <= 10


def test_equal_time_follows_the_cost_of_a_step():
    costs = {"full recipe": {"ms_per_step": 300.0}, "light": {"ms_per_step": 100.0}}
    costs["+ GAN"] = {"ms_per_step": 320.0}
    assert ablation._steps_of_equal_time("light", 200, costs) == 600
    assert ablation._steps_of_equal_time("+ GAN", 200, costs) == 200, "within a fifth: the same run"


def test_equal_targets_come_first_for_every_seed():
    costs = {name: {"ms_per_step": 100.0} for name in ablation.VARIANTS}
    costs["light"] = {"ms_per_step": 50.0}
    names = ["light", "full recipe"]
    plan = [tuple(run) for run in ablation.planned(names, 10, 2, costs)]
    assert plan == [
        ("light", "targets", 10, 0),
        ("full recipe", "targets", 10, 0),
        ("light", "targets", 10, 1),
        ("full recipe", "targets", 10, 1),
        ("light", "time", 20, 0),
        ("light", "time", 20, 1),
    ]


def test_runs_in_parallel_share_the_cores():
    cores = os.sched_getaffinity(0)
    seen, together = [], threading.Barrier(2, timeout=30)

    def work(run):
        together.wait()  # both are at work at once
        seen.append(os.sched_getaffinity(0))

    jobs = min(2, len(cores))
    if jobs == 1:
        together = threading.Barrier(1)
    ablation.in_parallel([1, 2], jobs, work)
    assert set.union(*seen) == cores
    assert jobs == 1 or not set.intersection(*seen)
    assert os.sched_getaffinity(0) == cores


def test_a_failed_run_stops_the_rest():
    seen = []

    def work(run):
        seen.append(run)
        sys.exit("broken")

    with pytest.raises(SystemExit, match="broken"):
        ablation.in_parallel(list(range(50)), 1, work)
    assert len(seen) < 50


@pytest.fixture
def data(tmp_path):
    for name in ("cohort", "store"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "splits.csv").touch()
    return tmp_path / "data"


LIGHT = ablation.Run("light", "targets", 8, 1)


def test_a_finished_run_is_skipped_and_another_one_is_trained_and_evaluated(
    tmp_path, data, monkeypatch
):
    called = []
    monkeypatch.setattr(ablation, "_vfseg", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(ablation, "trained_steps", lambda run: 8)
    ablation.run_one(LIGHT, tmp_path, data, {})
    (source, folder, train, changes), (_, _, evaluate, _) = called
    assert (train, evaluate) == ("train", "evaluate")
    assert source == "configs/vertebral_fracture.py:light"
    assert changes["seed"] == 1
    assert sum(changes[f"stages.{stage}"] for stage in STAGES) == 8
    assert (folder / "store").resolve() == data / "store"
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "summary.json").write_text("{}")
    config = ablation.variant_config("light", 8, {})
    config.update_from_flattened_dict(changes)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    ablation.run_one(LIGHT, tmp_path, data, {})
    assert len(called) == 2
    config.losses.l1 += 1
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(UserError, match=r"losses\.l1"):
        ablation.run_one(LIGHT, tmp_path, data, {})


def test_a_run_that_was_stopped_is_not_evaluated(tmp_path, data, monkeypatch):
    called = []
    monkeypatch.setattr(ablation, "_vfseg", lambda *arguments: called.append(arguments[2]))
    monkeypatch.setattr(ablation, "trained_steps", lambda run: 7)
    with pytest.raises(SystemExit, match="the same command continues"):
        ablation.run_one(LIGHT, tmp_path, data, {})
    assert called == ["train"]


def test_costs_are_measured_anew_where_a_config_has_changed(tmp_path, monkeypatch):
    configs = {name: ablation.variant_config(name, 8, {}).to_dict() for name in ablation.VARIANTS}
    kept = {"configs": configs, "costs": {"light": {"ms_per_step": 1.0}}}
    (tmp_path / "costs.json").write_text(json.dumps(kept))
    assert ablation.measured_costs(tmp_path / "costs.json", 8, {}) == kept["costs"]
    configs["light"]["losses"]["l1"] += 1
    (tmp_path / "costs.json").write_text(json.dumps(kept))
    monkeypatch.setattr(ablation, "stepper", _refuse)
    with pytest.raises(RuntimeError, match="measured"):
        ablation.measured_costs(tmp_path / "costs.json", 8, {})


def _refuse(*arguments, **keywords):
    raise RuntimeError("measured")


def test_the_table_shows_mean_and_spread():
    row = {
        "variant": "light",
        "equal": "time",
        "steps": 10,
        "parameters": 1234567,
        "ms_per_slice": 2.0,
        "dice": [0.5, 0.7],
        "pr_auc": [0.25, 0.25],
        "recall_across_slices": [None, None],
        "recall_by_volume": [[0.1, 0.3], [0.5, 0.5]],
        "dice_by_spacing": [[0.6, 0.6]],
    }
    line = ablation.table([row]).splitlines()[2]
    spread = np.std([0.5, 0.7], ddof=1)
    assert f"| 0.600 ± {spread:.3f} | 0.250 ± 0.000 | - |" in line
    assert "1,234,567" in line
    assert "| 0.200, 0.500 | 0.600 | 2 |" in line
    assert json.dumps(row)
