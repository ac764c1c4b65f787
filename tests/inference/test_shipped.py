"""A model to pass on answers as the checkpoint it came from, and says when it is damaged."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.cohort import tiny_config, write_store
from vfseg.errors import UserError
from vfseg.inference.model import load_model, load_thresholds, save_thresholds
from vfseg.inference.shipped import PARAMETERS, SHIPPED, export_model, open_model
from vfseg.training.loop import train
from vfseg.training.recipe import is_synthetic


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = tiny_config(**{"stages.recurrent": 1, "stages.adversarial": 0})
    records = write_store(workdir / "store", config)
    train(config, workdir, workdir / "store", records, lambda _: {"pr_auc": 0.5})
    save_thresholds(
        *(workdir / "checkpoints", 1),
        **{"slice": 0.3, "fused": 0.4, "vertebra": 0.5, "temperature": None, "fusion": "mean"},
    )
    return workdir


@pytest.fixture
def exported(run, tmp_path):
    export_model(run / "checkpoints", tmp_path / "model")
    return tmp_path / "model"


def test_the_exported_model_is_the_checkpoint(run, exported):
    want, got = load_model(run), open_model(exported)
    assert got.step == want.step == 1
    jax.tree.map(assert_array_equal, got.g_params, want.g_params)
    crops = np.random.default_rng(0).integers(-200, 1200, (1, 32, 32, 32), np.int16)
    assert_array_equal(
        got.predictor.slices(got.g_params, crops), want.predictor.slices(want.g_params, crops)
    )
    assert load_thresholds(exported, 1) == load_thresholds(run, 1) == (0.3, 0.4, 0.5)
    assert {p.name for p in exported.iterdir()} == {"config.json", "thresholds.json", PARAMETERS}


def test_a_run_is_opened_as_well(run):
    assert open_model(run / "checkpoints").step == 1


def test_a_damaged_model_is_named(exported):
    file = exported / PARAMETERS
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="model: this model is damaged"):
        open_model(exported)


def test_parameters_of_another_network_are_named(exported):
    config = exported / "config.json"
    config.write_text(
        config.read_text().replace('"recurrent_features": 2', '"recurrent_features": 3')
    )
    with pytest.raises(UserError, match=r"parameters.npz: .* has shape .* in the networks"):
        open_model(exported)


def test_the_model_of_the_package_is_small_opens_and_says_what_it_is():
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 20e6
    model = open_model(SHIPPED)
    assert is_synthetic(model.config)
    assert 0 < load_thresholds(SHIPPED, model.step).fused < 1
    card = (SHIPPED / "MODEL_CARD.md").read_text()
    for words in ("Research use only", "synthetic fractures", "every alarm is a false one"):
        assert words in card
    assert not any(part in model.config.manifest for part in "/\\"), "no path of a machine"
