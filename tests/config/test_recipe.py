"""Every committed config makes networks that fit it; pretrained weights go where they belong."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.cohort import ROOT, tiny_config
from vfseg.config.config import read_config
from vfseg.config.derive import load
from vfseg.config.recipe import (
    compute_dtype,
    frozen_params,
    initial_state,
    make_generator,
    pretrained_params,
)
from vfseg.models.pretrained import load_encoder

FULL = ("", "unet", "attention", "convlstm", "gan", "light")
CONFIGS = [("quickstart", ""), ("quickstart", "tiny"), ("slice_classifier", "")]
CONFIGS += [("real_bone", ""), ("painted", "")]
CONFIGS += [("vertebral_fracture", variant) for variant in FULL]


def _config(name, variant=""):
    return read_config(load(ROOT / "configs" / f"{name}.py", variant))


@pytest.mark.parametrize(("name", "variant"), CONFIGS)
def test_committed_configs_are_right_and_make_their_networks(name, variant):
    config = _config(name, variant)
    names = set(initial_state(config).g_params)
    if name == "slice_classifier":
        assert names == {"trunk", "head"}
        return
    lstms = {f"conv_lstm{s}" for s in config.generator.recurrent_scales}
    assert names == {"encoder", "decoder"} | (lstms if config.windows.length > 1 else set())
    gates = {f"gate{s}" for s in range(3)} & set(initial_state(config).g_params["decoder"])
    assert bool(gates) == config.generator.attention


def test_the_variants_differ_in_one_thing_and_take_as_many_steps():
    steps = {variant: _config("vertebral_fracture", variant).stages.total for variant in FULL}
    assert len(set(steps.values())) == 1
    assert not _config("vertebral_fracture", "convlstm").stages.adversarial
    assert _config("vertebral_fracture", "gan").stages.adversarial
    count = {
        variant: sum(p.size for p in jax.tree.leaves(initial_state(config).g_params))
        for variant in ("", "light")
        for config in [_config("vertebral_fracture", variant)]
    }
    assert count["light"] < count[""] / 3


def test_no_phantom_is_made_that_real_bone_would_leave_aside():
    """Beside a manifest phantoms train and validate; those for a test are dropped."""
    config = _config("real_bone")
    assert config.manifest
    assert config.add_phantoms
    assert (config.phantom.train, config.phantom.validation, config.phantom.test) == (24, 8, 0)


def test_bfloat16_is_for_accelerators():
    assert compute_dtype(tiny_config(compute_dtype="auto")) == np.float32, "these tests are on CPU"
    assert compute_dtype(tiny_config(compute_dtype="bfloat16")).name == "bfloat16"


def _pretrained():
    return tiny_config(
        **{
            "generator.encoder": "efficientnet_lite0",
            "generator.features": (4, 8, 8),
            "pretrained.weights": "package",
            "pretrained.frozen_scales": 1,
        }
    )


@pytest.mark.torch
def test_pretrained_weights_replace_the_encoder_and_nothing_else():
    config = _pretrained()
    start = initial_state(config).g_params
    params = pretrained_params(config, start)
    assert jax.tree.structure(params) == jax.tree.structure(start)
    want = load_encoder("efficientnet_lite0", "", 2, (4, 8, 8))
    jax.tree.map(assert_array_equal, params["encoder"]["trunk"], want["trunk"])
    jax.tree.map(assert_array_equal, params["decoder"], start["decoder"])
    jax.tree.map(assert_array_equal, params["encoder"]["scale0"], start["encoder"]["scale0"])
    assert make_generator(config).norm == "folded"


def test_only_the_named_scales_are_frozen():
    config = _pretrained()
    params = initial_state(config).g_params
    frozen = jax.tree_util.tree_leaves_with_path(frozen_params(params, 1))
    still = {"/".join(k.key for k in path) for path, value in frozen if value}
    assert still
    assert all(name.startswith("encoder/trunk/scale1") for name in still)
    assert not any(jax.tree.leaves(frozen_params(params, 0)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "synthetic"),
        ({"manifest": "m.csv"}, "the user's"),
        ({"manifest": "m.csv", "virtual_fractures.variants": 2}, "synthetic"),
        ({"manifest": "m.csv", "add_phantoms": True}, "the user's and synthetic"),
        ({"manifest": "m.csv", "painted.label_maps": "maps"}, "the user's and synthetic"),
    ],
)
def test_what_a_model_was_trained_on(changes, said):
    config = tiny_config(**changes)
    assert config.trained_on == said
    assert config.synthetic == (said == "synthetic"), "the truth of all cases"
