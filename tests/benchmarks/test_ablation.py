"""The ablation's plan: equal targets, equal time, what is skipped, and how it is summed up."""

import json

import numpy as np
import pytest

from benchmarks import ablation
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
    assert ablation._steps_of_equal_time("+ GAN", 200, costs) == 200, "within a tenth: the same run"


def test_a_finished_run_is_skipped_and_another_one_is_trained_and_evaluated(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(ablation, "_vfseg", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(ablation, "trained_steps", lambda run: 8)
    data = tmp_path / "data"
    for name in ("cohort", "store"):
        (data / name).mkdir(parents=True)
    (data / "splits.csv").touch()
    ablation.run_one("light", 1, 8, tmp_path, data, {})
    (config, run, train, changes), (_, _, evaluate, _) = called
    assert (train, evaluate) == ("train", "evaluate")
    assert config == "configs/vertebral_fracture.py:light"
    assert changes["seed"] == 1
    assert sum(changes[f"stages.{stage}"] for stage in STAGES) == 8
    assert (run / "store").resolve() == data / "store"
    (run / "evaluation").mkdir()
    (run / "evaluation" / "summary.json").write_text("{}")
    ablation.run_one("light", 1, 8, tmp_path, data, {})
    assert len(called) == 2


def test_a_run_that_was_stopped_is_not_evaluated(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(ablation, "_vfseg", lambda *arguments: called.append(arguments[2]))
    monkeypatch.setattr(ablation, "trained_steps", lambda run: 7)
    for name in ("cohort", "store", "splits.csv"):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit, match="the same command continues"):
        ablation.run_one("light", 0, 8, tmp_path, tmp_path, {})
    assert called == ["train"]


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
    line = ablation.table([row], 2).splitlines()[2]
    spread = np.std([0.5, 0.7], ddof=1)
    assert f"| 0.600 ± {spread:.3f} | 0.250 ± 0.000 | - |" in line
    assert "1,234,567" in line
    assert json.dumps(row)
