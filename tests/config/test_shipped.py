"""A model to pass on answers as the checkpoint it came from, and says when it is damaged."""

import json

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.cohort import tiny_config, write_store
from vfseg.config.model import load_trained, open_model
from vfseg.config.recipe import training_plan
from vfseg.config.shipped import PARAMETERS, SHIPPED, export_model
from vfseg.errors import UserError
from vfseg.inference.thresholds import Thresholds, save_thresholds
from vfseg.training.loop import train

FILES = ("config.json", "thresholds.json", PARAMETERS)
THRESHOLDS = Thresholds(slice=0.3, fused=0.4, vertebra=0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = tiny_config(**{"stages.recurrent": 1, "stages.adversarial": 0})
    records = write_store(workdir / "store", config)
    train(training_plan(config), workdir, workdir / "store", records, lambda _: {"pr_auc": 0.5})
    save_thresholds(workdir / "checkpoints", 1, THRESHOLDS, "mean")
    return workdir


@pytest.fixture
def exported(run, tmp_path):
    export_model(tmp_path / "model", *load_trained(run), THRESHOLDS)
    return tmp_path / "model"


def test_the_exported_model_is_the_checkpoint(run, exported):
    want, got = open_model(run), open_model(exported)
    assert got.steps == want.steps == (1,)
    jax.tree.map(assert_array_equal, got.members, want.members)
    crops = np.random.default_rng(0).integers(-200, 1200, (1, 32, 32, 32), np.int16)
    assert_array_equal(
        got.predictor.slices(*got.members, crops), want.predictor.slices(*want.members, crops)
    )
    assert got.thresholds == want.thresholds == THRESHOLDS
    assert {p.name for p in exported.iterdir()} == {*FILES, "digests.json"}


def test_a_run_is_opened_as_well(run):
    assert open_model(run / "checkpoints").steps == (1,)


def test_a_damaged_model_is_named(exported):
    file = exported / PARAMETERS
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="model: this model is damaged"):
        open_model(exported)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_or_a_missing_file_is_damage(exported, name):
    whole = (exported / name).read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        (exported / name).write_bytes(bytes(changed))
        with pytest.raises(UserError, match=rf"model: this model is damaged.*{name}"):
            load_trained(exported)
    (exported / name).unlink()
    with pytest.raises(UserError):
        load_trained(exported)


def test_a_model_of_an_earlier_version_has_no_digests_and_opens(exported):
    (exported / "digests.json").unlink()
    assert open_model(exported).steps == (1,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_no_numbers_are_damage(run, tmp_path, value):
    config, step, g_params = load_trained(run)
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, value), g_params)
    export_model(tmp_path / "model", config, step, broken, THRESHOLDS)
    with pytest.raises(UserError, match="holds what are no finite numbers"):
        load_trained(tmp_path / "model")


def test_parameters_of_another_network_are_named(exported):
    (exported / "digests.json").unlink()  # else it would be damage
    config = exported / "config.json"
    config.write_text(
        config.read_text().replace('"recurrent_features": 2', '"recurrent_features": 3')
    )
    with pytest.raises(UserError, match=r"parameters.npz: .* has shape .* in the networks"):
        open_model(exported)


def test_the_model_of_the_package_is_small_opens_and_says_what_it_is():
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 20e6
    model = open_model(SHIPPED)
    assert model.synthetic
    assert 0 < model.thresholds.fused < 1
    card = (SHIPPED / "MODEL_CARD.md").read_text()
    for words in ("Research use only", "synthetic fractures", "every alarm is a false one"):
        assert words in card
    config = load_trained(SHIPPED).config
    for path in (config.manifest, config.pretrained.weights):
        assert not any(part in path for part in "/\\"), "no path of a machine"


def test_a_model_to_pass_on_names_no_path_of_its_author(run, tmp_path):
    """Of manifest and weights the last part stays: without weights the network is another."""
    config, step, g_params = load_trained(run)
    author = tiny_config(
        **{
            "generator.encoder": "resnet18",
            "pretrained.weights": "/home/author/weights.safetensors",
            "manifest": "/home/author/cases/manifest.csv",
        }
    )
    export_model(tmp_path / "model", author, step, g_params, THRESHOLDS)
    written = (tmp_path / "model" / "config.json").read_text()
    assert "author" not in written
    values = json.loads(written)
    assert values["pretrained"]["weights"] == "weights.safetensors"
    assert values["manifest"] == "manifest.csv"
    assert config.pretrained.weights == ""
