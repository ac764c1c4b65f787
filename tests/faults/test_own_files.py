"""No damage to a file that the program reads back ends in a traceback, nor in absurd values.

Where a file has a digest every change is noticed; elsewhere what still has the right shape and
range is taken. `VFSEG_FAULTS=3000 pytest -n0 tests/faults` is the long form. A failure names the
trial, which is the same every time.
"""

import json
import math
import shutil

import numpy as np
import pytest

from tests.cohort import tiny_config
from tests.crops.test_store import make_arrays, make_record
from tests.faults.mutations import TRIALS, mutations
from tests.report.summary import SUMMARY, measure
from vfseg.commands.memory import check_config_of, read_summary, remember
from vfseg.config.model import load_trained
from vfseg.config.recipe import generator_shapes
from vfseg.config.shipped import export_model
from vfseg.crops.store import CaseArrays, read_crops, read_record, write_case
from vfseg.errors import UserError
from vfseg.evaluation.measures import States, read_states, write_states
from vfseg.inference.thresholds import Thresholds, load_thresholds, save_thresholds
from vfseg.json_files import sealed
from vfseg.report.page import write_page
from vfseg.report.results_table import results_text
from vfseg.training.writer import read_metrics

THRESHOLDS = Thresholds(slice=0.25, fused=0.75, vertebra=0.1, temperature=1.25)


def faults(path, read, trials=TRIALS):
    """Yields what a reader made of each mutation of a file; None where it said what is wrong."""
    whole = path.read_bytes()
    said = taken = 0
    for content, trial in mutations(whole, path.name, trials):
        path.write_bytes(content)
        try:
            found = read()
        except UserError:
            said += 1
            yield None, trial
        except Exception as error:
            raise AssertionError(f"{trial}: {type(error).__name__}: {error}") from error
        else:
            taken += 1
            yield found, trial
    path.write_bytes(whole)
    print(f"{path.name}: {said} said, {taken} taken, of {said + taken}")
    assert said


def test_thresholds(tmp_path):
    save_thresholds(tmp_path, 7, THRESHOLDS, "mean")
    whole = (THRESHOLDS.slice, THRESHOLDS.fused, THRESHOLDS.vertebra)
    for found, trial in faults(tmp_path / "thresholds.json", lambda: load_thresholds(tmp_path, 7)):
        assert found is None or (found.slice, found.fused, found.vertebra) == whole, trial


LINE = {"train/loss": 0.5, "train/probability_on_fracture": 0.2}


def test_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [{"step": step, **LINE, "train/bad": math.nan} for step in range(5)]
    path.write_text("".join(json.dumps(sealed(line)) + "\n" for line in lines))
    whole = [{f"{name}={value}" for name, value in line.items()} for line in lines]
    for found, trial in faults(path, lambda: read_metrics(path)):
        for line in found or ():  # one that lost its end and its checksum may stand
            assert any({f"{n}={x}" for n, x in line.items()} <= one for one in whole), trial


def test_metrics_of_an_earlier_version(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [{"step": step, **LINE, "train/bad": math.nan} for step in range(5)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for found, trial in faults(path, lambda: read_metrics(path)):
        for line in found or ():
            assert isinstance(line["step"], int), trial
            assert all(isinstance(float(value), float) for value in line.values()), trial


FULL = SUMMARY | {
    "lesion": {"average_precision": measure(0.4), "froc": [[0.0, 0.1], [2.0, 0.7]], "lesions": 9},
    "vertebra": {"roc_auc": measure(0.8, 0.7, 0.9), "measured_in": ["mask"]},
    "calibration": {
        "temperature": {"value": 1.1, "fitted_on": "validation"},
        "reliability": [[0.1, 0.05, 10], [0.6, 0.4, 5]],
    },
    "by_level": {"L1": {"lesions": 3, "sensitivity": measure(0.5)}},
}


def test_summary(tmp_path):
    path = tmp_path / "evaluation" / "summary.json"
    path.parent.mkdir()
    path.write_text(json.dumps(FULL))
    for found, trial in faults(path, lambda: results_text(read_summary(tmp_path))):
        assert found is None or found.startswith("measure"), trial
    for found, trial in faults(path, lambda: write_page(tmp_path, {}), TRIALS // 8):
        assert found is None or found.exists(), trial


def test_states(tmp_path):
    path, rng = tmp_path / "states.npz", np.random.default_rng(0)
    counts = {
        "voxel/confusion": rng.integers(0, 9, (3, 4)),
        "voxel/hd95": rng.uniform(0, 9, (3, 2)),
    }
    write_states(path, States(("a", "b", "c"), ("p", "p", "q"), ("1", "2", "3"), counts))
    for found, trial in faults(path, lambda: read_states(path)):
        assert found is None or len(found.cases) == len(found.patients), trial


@pytest.mark.parametrize("name", ["record.json", "digests.json", "ct/zarr.json"])
def test_cases_of_the_store(tmp_path, name):
    record, arrays = make_record(), make_arrays()
    write_case(tmp_path, record, arrays)
    path = tmp_path / "a" / name
    whole = path.read_bytes()
    for content, trial in mutations(whole, name):
        path.write_bytes(content)
        found = read_record(tmp_path, "a")
        assert found.record is None or found.record == record, trial
        assert bool(found.damage) == (found.record is None), trial
        if name != "digests.json":  # spaces in it, or a name that is there twice, mean nothing
            assert found.damage, trial
    path.write_bytes(whole)
    if name.endswith("zarr.json"):
        for _ in faults(path, lambda: read_crops(CaseArrays(tmp_path, record).ct)):
            pass
    assert read_record(tmp_path, "a").record == record


@pytest.mark.parametrize("name", ["config.json", "data.json"])
def test_what_a_workdir_remembers(tmp_path, name):
    config = tiny_config()
    remember(config, tmp_path, "hash")

    def begin():
        check_config_of(config, tmp_path)
        remember(config, tmp_path, "hash")
        return config

    for _ in faults(tmp_path / name, begin):
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a model to pass on, of zeros."""
    folder, config = tmp_path_factory.mktemp("shipped"), tiny_config()
    shapes = generator_shapes(config)
    params = _zeros(shapes)
    export_model(folder, config, 3, params, THRESHOLDS)
    return folder


def _zeros(tree):
    if hasattr(tree, "items"):
        return {name: _zeros(branch) for name, branch in tree.items()}
    return np.zeros(tree.shape, tree.dtype)


@pytest.mark.parametrize("name", ["config.json", "thresholds.json", "parameters.npz"])
def test_a_model_to_pass_on_notices_every_change(tmp_path, model, name):
    folder = shutil.copytree(model, tmp_path / "model")
    assert load_trained(folder).step == 3
    for found, trial in faults(folder / name, lambda: load_trained(folder)):
        assert found is None, trial


@pytest.mark.parametrize("name", ["config.json", "parameters.npz"])
def test_a_model_of_an_earlier_version_has_no_digests(tmp_path, model, name):
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "digests.json").unlink()
    for found, trial in faults(folder / name, lambda: load_trained(folder), TRIALS // 4):
        assert found is None or found.step >= 0, trial
