"""Mode `evaluate`: where what it left stands, and what is known before anything is predicted."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cohort import tiny_config
from vfseg.commands import evaluate as module
from vfseg.commands.evaluate import is_evaluated
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.digests import write_digests
from vfseg.errors import CannotWrite
from vfseg.inference.estimate import result_bytes
from vfseg.inference.thresholds import Thresholds, load_thresholds, save_thresholds
from vfseg.json_files import write_json


@pytest.fixture
def run(tmp_path):
    """A run that was evaluated, as far as this is looked at: at step 4, on the data "d"."""
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / "4").mkdir(parents=True)
    save_thresholds(checkpoints, 4, Thresholds(slice=0.2, fused=0.3, vertebra=0.4), "mean")
    for name, content in (
        ("evaluation/summary.json", {"step": 4, "data": "d"}),
        ("predictions/a/mask.nii.gz", 0),
    ):
        write_json(tmp_path / name, content)
        write_digests((tmp_path / name).parent)
    return SimpleNamespace(workdir=tmp_path, checkpoints=checkpoints, data_hash=lambda *splits: "d")


def test_what_is_whole_stands(run):
    assert is_evaluated(run)


@pytest.mark.parametrize(
    "name",
    ["evaluation/summary.json", "predictions/a/mask.nii.gz", "checkpoints/thresholds.json"],
)
@pytest.mark.parametrize("damage", ["changed", "deleted"])
def test_what_is_damaged_does_not(run, name, damage):
    path = run.workdir / name
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"4", b"5").replace(b"0", b"1"))
    assert not is_evaluated(run)


def test_one_of_an_earlier_version_is_believed(run):
    for path in run.workdir.rglob("digests.json"):
        path.unlink()
    assert is_evaluated(run)


def test_one_of_another_step_or_of_other_cases_does_not_stand(run):
    run.data_hash = lambda *splits: "other"
    assert not is_evaluated(run)
    run.data_hash = lambda *splits: "d"
    (run.checkpoints / "6").mkdir()
    assert not is_evaluated(run)


def test_that_the_maps_of_all_test_cases_fit_on_the_disk(tmp_path, monkeypatch):
    config, geometry = tiny_config(), geometry_from((99, 99, 99), np.eye(4))
    cases = tuple(Case(name, name, tmp_path / name, split="test") for name in "abc")
    run = SimpleNamespace(
        config=config,
        workdir=tmp_path,
        checkpoints=tmp_path / "checkpoints",
        prepared=SimpleNamespace(cases=cases),
        records=lambda split: [
            SimpleNamespace(case_id=n) for n in ("ab" if split == "test" else "c")
        ],
    )
    evaluator = SimpleNamespace(predictor=SimpleNamespace(views=(0, 1)))  # and can do nothing
    monkeypatch.setattr(module, "load_trained", lambda _: SimpleNamespace(step=1))
    monkeypatch.setattr(module, "evaluator_of", lambda *_: evaluator)
    monkeypatch.setattr(module, "read_geometry", lambda _: geometry)
    needed = 2 * result_bytes(geometry, config.prepare, 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(CannotWrite, match="free there, and the maps of 2 test cases take up to"):
        module.evaluate(run)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    with pytest.raises(AttributeError, match="choose_thresholds"):  # it was begun
        module.evaluate(run)


def test_a_fold_without_test_cases_gets_thresholds_alone(tmp_path, monkeypatch):
    """Its figures come from all folds together."""
    chosen = Thresholds(slice=0.2, fused=0.3, vertebra=0.4)
    (tmp_path / "checkpoints").mkdir()
    asked = []
    run = SimpleNamespace(
        config=tiny_config(**{"split.folds": 2}),
        workdir=tmp_path,
        checkpoints=tmp_path / "checkpoints",
        prepared=SimpleNamespace(cases=(), records={"test": ()}),
        records=lambda split: asked.append(split) or [split],
    )
    evaluator = SimpleNamespace(
        predictor=SimpleNamespace(views=(0,)),
        choose_thresholds=lambda cases, records: chosen,
        predict_slices=lambda records, what: list(records),
        score=lambda cases, predicted, *_, **__: list(predicted),
    )
    monkeypatch.setattr(module, "load_trained", lambda _: SimpleNamespace(step=3))
    monkeypatch.setattr(module, "evaluator_of", lambda *_: evaluator)
    module.evaluate(run)
    assert asked == ["validation"]
    assert load_thresholds(run.checkpoints, 3) == chosen
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints"]
