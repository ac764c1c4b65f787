"""The runs of the ablation: side by side, skipped where finished, continued where stopped."""

import json
import os
import sys
import threading

import pytest

from benchmarks.configs import ROOT, read_config
from benchmarks.studies.ablation import runs
from benchmarks.studies.ablation.plan import Run
from benchmarks.studies.ablation.variants import CONFIG
from vfseg.errors import UserError
from vfseg.training.stages import STAGES


def test_runs_in_parallel_share_the_cores():
    cores = os.sched_getaffinity(0)
    seen, together = [], threading.Barrier(2, timeout=300)

    def work(run):
        together.wait()  # both are at work at once
        seen.append(os.sched_getaffinity(0))

    jobs = min(2, len(cores))
    if jobs == 1:
        together = threading.Barrier(1)
    runs.in_parallel([1, 2], jobs, work)
    assert set.union(*seen) == cores
    assert jobs == 1 or not set.intersection(*seen)
    assert os.sched_getaffinity(0) == cores


def test_a_failed_run_stops_the_rest():
    seen = []

    def work(run):
        seen.append(run)
        sys.exit("broken")

    with pytest.raises(SystemExit, match="broken"):
        runs.in_parallel(list(range(50)), 1, work)
    assert len(seen) < 50


@pytest.fixture
def data(tmp_path):
    for name in ("cohort", "store"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "splits.csv").touch()
    return tmp_path / "data"


LIGHT = Run("light", "targets", 8, 1)


def test_a_finished_run_is_skipped_and_another_one_is_trained_and_evaluated(
    tmp_path, data, monkeypatch
):
    called = []
    monkeypatch.setattr(runs, "run_vfseg", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(runs, "trained_steps", lambda run: 8)
    runs.run_one(LIGHT, tmp_path)
    (source, folder, train, changes, shared), (_, _, evaluate, _, _) = called
    assert (train, evaluate) == ("train", "evaluate")
    assert source == "configs/vertebral_fracture.py:light"
    assert changes["seed"] == 1
    assert sum(changes[f"stages.{stage}"] for stage in STAGES) == 8
    assert shared == data
    folder.mkdir(exist_ok=True)
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "summary.json").write_text("{}")
    settings = read_config(ROOT / CONFIG, "light", changes).to_dict()
    (folder / "config.json").write_text(json.dumps(settings))
    runs.run_one(LIGHT, tmp_path)
    assert len(called) == 2
    settings["losses"]["l1"] += 1
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"losses\.l1"):
        runs.run_one(LIGHT, tmp_path)


def test_a_run_that_was_stopped_is_not_evaluated(tmp_path, data, monkeypatch):
    called = []
    monkeypatch.setattr(runs, "run_vfseg", lambda *arguments: called.append(arguments[2]))
    monkeypatch.setattr(runs, "trained_steps", lambda run: 7)
    with pytest.raises(SystemExit, match="the same command continues"):
        runs.run_one(LIGHT, tmp_path)
    assert called == ["train"]
