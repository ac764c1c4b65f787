"""Four devices against one, by jit over a mesh and by pmap, within stated tolerances.

Gradients agree to rounding. Adam divides by their size and so amplifies rounding where a gradient
is nearly zero; hence parameters are compared after SGD and only losses after Adam.
"""

import functools

import jax
import numpy as np
import optax
import pytest

from tests.training.tiny import tiny_batch, tiny_settings, tiny_state
from vfseg.data.augment import AugmentSettings
from vfseg.errors import UserError
from vfseg.training.parallel import make_runner
from vfseg.training.step import train_step


def _train(parallel, devices, settings, steps):
    step = functools.partial(train_step, settings=settings)
    runner = make_runner(step, parallel, 4, jax.devices()[:devices])
    state, losses = runner.put_state(tiny_state(settings)), []
    for number in range(steps):
        batch = runner.put_batch(tiny_batch(seed=number))
        state, metrics = runner.step(state, batch, adversarial=True)
        computed = runner.get(metrics).compute()
        losses.append([computed["loss"], computed["discriminator_loss"]])
    return runner.get(state), np.array(losses)


def _largest_difference(a, b):
    return max(np.abs(x - y).max() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
@pytest.mark.parametrize("augment", [AugmentSettings(), AugmentSettings(rotation=20.0, noise=20.0)])
def test_four_devices_equal_one_under_sgd(parallel, augment):
    settings = tiny_settings(optax.sgd(0.05), augment=augment)
    one, one_losses = _train("jit", 1, settings, steps=3)
    four, four_losses = _train(parallel, 4, settings, steps=3)
    np.testing.assert_allclose(four_losses[0], one_losses[0], rtol=1e-5)
    assert _largest_difference(four.g_params, one.g_params) < 1e-5
    assert _largest_difference(four.d_params, one.d_params) < 1e-5


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_four_devices_follow_one_under_adam(parallel):
    settings = tiny_settings(optax.adam(1e-3))
    _, one = _train("jit", 1, settings, steps=5)
    _, four = _train(parallel, 4, settings, steps=5)
    np.testing.assert_allclose(four, one, rtol=1e-4)


def test_first_step_gradients_agree_to_rounding():
    """One SGD step with rate 1 moves the parameters by exactly their gradient."""
    settings = tiny_settings(optax.sgd(1.0))
    start = tiny_state(settings)
    one, _ = _train("jit", 1, settings, steps=1)
    for parallel in ("jit", "pmap"):
        four, _ = _train(parallel, 4, settings, steps=1)
        for p, a, b in zip(*(jax.tree.leaves(s.g_params) for s in (start, one, four))):
            scale = np.abs(p - a).max()
            np.testing.assert_allclose(p - b, p - a, atol=max(1e-5 * scale, 1e-6))


def test_what_cannot_be_split_is_refused():
    with pytest.raises(UserError, match=r"batch_size=6 does not divide among 4 devices"):
        make_runner(train_step, "jit", 6)
