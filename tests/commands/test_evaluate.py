"""Mode `evaluate`: what is known before anything is predicted."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cohort import tiny_config
from vfseg.commands import evaluate as module
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.errors import CannotWrite
from vfseg.inference.estimate import result_bytes


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
    monkeypatch.setattr(module, "_evaluator", lambda *_: evaluator)
    monkeypatch.setattr(module, "read_geometry", lambda _: geometry)
    needed = 2 * result_bytes(geometry, config.prepare, 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(CannotWrite, match="free there, and the maps of 2 test cases take up to"):
        module.evaluate(run)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    with pytest.raises(AttributeError, match="choose_thresholds"):  # it was begun
        module.evaluate(run)
