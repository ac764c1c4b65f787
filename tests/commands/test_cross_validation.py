"""All folds together: who judges whom, and what stands is kept."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.cohort import tiny_config
from tests.evaluation.folds import ANSWERS, OneView, prepared_cohort
from tests.evaluation.test_evaluate import SETTINGS
from vfseg.commands import cross_validation as module
from vfseg.commands.cross_validation import pool
from vfseg.config.folds import fold_workdir
from vfseg.evaluation.evaluate import Evaluator
from vfseg.inference.thresholds import Thresholds, load_thresholds, save_thresholds
from vfseg.json_files import read_json

OWN = Thresholds(slice=0.3, fused=0.3, vertebra=0.3)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six patients, two a fold, of whom one has no fracture; the seventh validates always."""
    return prepared_cohort(tmp_path_factory.mktemp("cases"), "abcdefg")


@pytest.fixture
def folds(cohort, tmp_path, monkeypatch):
    """Runs of folds whose models are trained and have thresholds of their own."""
    cases, records, store = cohort
    always, runs = records[-1], []
    for number in range(3):
        workdir = fold_workdir(tmp_path, number)
        (workdir / "checkpoints").mkdir(parents=True)
        save_thresholds(workdir / "checkpoints", number, OWN, "mean")
        own = records[2 * number : 2 * number + 2]
        of_split = {
            "validation": [*own, always],
            "train": [r for r in records if r not in own and r is not always],
        }
        runs.append(
            SimpleNamespace(
                config=tiny_config(),
                workdir=workdir,
                checkpoints=workdir / "checkpoints",
                store=store,
                prepared=SimpleNamespace(cases=cases),
                records=of_split.__getitem__,
                data_hash=lambda split, number=number: f"{split} of {number}",
            )
        )

    def load(checkpoints):
        number = int(checkpoints.parent.name.removeprefix("fold-"))
        parameters = {"x": np.float32(ANSWERS[number])}
        return SimpleNamespace(
            step=number, answer=ANSWERS[number], config="settings", g_params=parameters
        )

    monkeypatch.setattr(module, "load_trained", load)
    monkeypatch.setattr(
        module,
        "evaluator_of",
        lambda run, trained: Evaluator(OneView(), trained.answer, store, "mean", SETTINGS),
    )
    return runs


def test_one_table_of_all_patients_and_the_thresholds_of_the_ensemble(folds, tmp_path, capsys):
    pool(folds, tmp_path, anew=False)
    printed = capsys.readouterr().out
    assert "6 cases of 3 folds, each by the model that did not train on it" in printed
    assert f"--workdir {tmp_path}" in printed
    summary = read_json(tmp_path / "evaluation" / "summary.json")
    assert (summary["split"], summary["cases"], summary["steps"]) == ("out of fold", 6, [0, 1, 2])
    dice = summary["voxel"]["dice"]
    assert dice["n"] == 6
    assert dice["ci95"][0] <= dice["value"] <= dice["ci95"][1]
    thresholds = load_thresholds(tmp_path, [0, 1, 2])
    assert summary["threshold"] == {"value": thresholds.fused, "chosen_on": "out of fold"}
    lines = (tmp_path / "evaluation" / "cases.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == list("abcdef")


def test_what_stands_is_kept_and_what_does_not_is_made_anew(folds, tmp_path, monkeypatch, capsys):
    judged, judge = [], module.judge_out_of_fold
    monkeypatch.setattr(module, "judge_out_of_fold", lambda folds: judged.append(1) or judge(folds))
    pool(folds, tmp_path, anew=False)
    first = capsys.readouterr().out
    pool(folds, tmp_path, anew=False)
    assert (len(judged), capsys.readouterr().out) == (1, first)
    pool(folds, tmp_path, anew=True)
    assert len(judged) == 2
    for name in ("evaluation/cases.csv", "thresholds.json"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes().replace(b"0", b"1"))
        pool(folds, tmp_path, anew=False)
    assert len(judged) == 4
    folds[1].data_hash = lambda split: "other cases"
    pool(folds, tmp_path, anew=False)
    assert len(judged) == 5
    load = module.load_trained
    for change in ({"config": "other settings"}, {"g_params": {"x": np.float32(0.1)}}):
        changed = {**vars(load(folds[2].checkpoints)), **change}  # of the same step
        monkeypatch.setattr(
            module,
            "load_trained",
            lambda path, changed=changed: (
                SimpleNamespace(**changed) if path == folds[2].checkpoints else load(path)
            ),
        )
        pool(folds, tmp_path, anew=False)
    assert len(judged) == 7


def test_a_fold_that_is_not_finished_is_waited_for(folds, tmp_path, capsys):
    (folds[1].checkpoints / "thresholds.json").unlink()
    save_thresholds(folds[2].checkpoints, 7, OWN, "mean")  # of a model before this one
    pool(folds, tmp_path, anew=False)
    assert "fold-1, fold-2 not finished" in capsys.readouterr().out
    assert not (tmp_path / "evaluation").exists()
