"""The PyTorch twin against the package: the same answers, losses and gradients."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks.configs import QUICKSTART, read_config
from benchmarks.stepper import ADVERSARIAL, Stepper
from benchmarks.twin_training import assert_same, first_step, restless_state
from vfseg.config.recipe import make_generator
from vfseg.crops.intensity import to_channels

pytestmark = pytest.mark.torch
TOLERANCE = 1e-4  # of the largest entry


@pytest.fixture(scope="module")
def config():
    """Two scales, gates, a ConvLSTM at each; windows of 5."""
    changes = {
        "windows.length": 5,
        "generator.recurrent_scales": (0, 1),
        "discriminator.features": (4, 8, 8),
        "augment.left_right_flip": 0.0,
        "losses.adversarial_everywhere": True,
    }
    return read_config(QUICKSTART, "tiny", changes)


@pytest.fixture(scope="module")
def state(config):
    return restless_state(config)


@pytest.fixture(params=[False, True], ids=["eager", "channels_last"])
def mode(request):
    from benchmarks.torch_modes import Mode

    return Mode(channels_last=request.param)


@pytest.fixture(scope="module")
def predicted(config):
    """Six slices, the generator's parameters, and the package's probabilities of the slices."""
    params = restless_state(config, for_gradients=False).g_params
    slices = np.random.default_rng(0).integers(-200, 1500, (6, 16, 16), np.int16)
    run = np.pad(slices, ((2, 2), (0, 0), (0, 0)), mode="edge")[None]
    generator = make_generator(config)

    @jax.jit
    def predict(params):
        logits = generator.apply({"params": params}, to_channels(run, config.hu_windows))
        return jax.nn.sigmoid(logits)[0]

    return slices, params, np.asarray(predict(params))


@pytest.mark.parametrize("encode_once", [True, False])
def test_predictions_agree(config, predicted, mode, encode_once):
    from benchmarks.torch_step import TorchPredictor

    slices, params, wanted = predicted
    assert np.ptp(wanted) > 0.01
    twin = TorchPredictor(config, params, mode, encode_once=encode_once)
    assert_allclose(twin(slices), wanted, atol=TOLERANCE * wanted.max())


@pytest.fixture(scope="module")
def ours(config, state):
    """Batch, loss and gradients of the package's first step on runs of two targets."""
    run = Stepper(config, phase=ADVERSARIAL, state=state)
    return run.batches[0], *first_step(run)


def test_a_step_has_the_same_loss_and_gradients(config, state, ours, mode):
    from benchmarks.torch_step import TorchStep

    batch, loss, gradients = ours
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(gradients))
    twin = TorchStep(config, state.g_params, state.d_params, mode)
    assert_allclose(float(twin(batch)), loss, rtol=TOLERANCE)
    assert_same(twin.gradients(state.g_params, state.d_params), gradients, TOLERANCE)


def test_runs_and_plain_windows_are_the_same_work(config, state, ours):
    """The plain windows cut from runs have the loss and the gradients of the runs."""
    from benchmarks.torch_modes import Mode
    from benchmarks.torch_step import TorchStep

    batch, loss, gradients = ours
    b, k = batch["target"].shape[:2]
    length = config.windows.length
    plain = {
        "ct": np.concatenate([batch["ct"][:, j : j + length] for j in range(k)]),
        "target": np.concatenate([batch["target"][:, j : j + 1] for j in range(k)]),
    }
    assert len(plain["ct"]) == b * k
    twin = TorchStep(config, state.g_params, state.d_params, Mode())
    assert_allclose(float(twin(plain)), loss, rtol=TOLERANCE)
    assert_same(twin.gradients(state.g_params, state.d_params), gradients, TOLERANCE)


def test_a_twin_with_another_weight_is_found_out(config, state, ours):
    from benchmarks.torch_modes import Mode
    from benchmarks.torch_step import TorchStep

    batch, _, gradients = ours
    twin = TorchStep(config, state.g_params, state.d_params, Mode())
    next(iter(twin.generator.parameters())).data *= 1.01
    twin(batch)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(twin.gradients(state.g_params, state.d_params), gradients, TOLERANCE)


def test_on_a_cpu_compiled_modes_do_not_repeat_the_layout(monkeypatch):
    from benchmarks import torch_modes

    monkeypatch.setattr(torch_modes, "why_not_compiled", lambda: "")
    monkeypatch.setattr(torch_modes, "why_not_bfloat16", lambda: "none here")
    found, missing = torch_modes.available(quick=False)
    assert list(map(str, found)) == ["eager", "compiled", "channels_last"]
    assert missing == {"bfloat16": "none here"}
