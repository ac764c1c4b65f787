"""The one-forward step against a naive version that runs the generator once for each update."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from tests.training.tiny import HU_WINDOWS, tiny_batch, tiny_settings, tiny_state
from vfseg.data.intensity import to_channels
from vfseg.training.step import train_step


def naive_step(state, batch, settings, learning_rate):
    """pix2pix in the order of its text: forward, update D, forward again, update G; SGD by hand."""
    run = to_channels(jnp.asarray(batch["ct"]), HU_WINDOWS)
    target = jnp.asarray(batch["target"], jnp.float32)
    b, k, h, w = target.shape
    ct = run[:, 1 : 1 + k].reshape(b * k, h, w, 1)
    real = target.reshape(b * k, h, w)

    def generate(g_params):
        return settings.generator.apply({"params": g_params}, run)

    def judge(d_params, fracture):
        return settings.discriminator.apply({"params": d_params}, ct, fracture)

    def log_loss(logits, label):
        p = jax.nn.sigmoid(logits)
        return -jnp.mean(jnp.log(p if label else 1 - p))

    fake = nn.sigmoid(generate(state.g_params)).reshape(real.shape)

    def d_loss(d_params):
        real_loss, fake_loss = (
            log_loss(judge(d_params, real), 1),
            log_loss(judge(d_params, fake), 0),
        )
        return (real_loss + fake_loss) / 2

    def descend(params, gradient):
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient)

    d_gradient = jax.grad(d_loss)(state.d_params)
    d_params = descend(state.d_params, d_gradient)

    def g_loss(g_params):
        p = nn.sigmoid(generate(g_params))
        log_likelihood = target * jnp.log(p) + (1 - target) * jnp.log(1 - p)
        dice = 1 - (2 * jnp.sum(p * target) + 1) / (jnp.sum(p) + jnp.sum(target) + 1)
        weights = settings.loss_weights
        return (
            0.3 * log_loss(judge(d_params, p.reshape(real.shape)), 1)
            + weights["l1"] * jnp.mean(jnp.abs(p - target))
            + weights["dice"] * dice
            - weights["cross_entropy"] * jnp.mean(log_likelihood)
        )

    g_gradient = jax.grad(g_loss)(state.g_params)
    return descend(state.g_params, g_gradient), d_params


def test_one_forward_step_equals_the_naive_one():
    """After one SGD step the parameters differ from the start by the gradients, so both agree."""
    settings, batch = tiny_settings(optax.sgd(0.1)), tiny_batch()
    state = tiny_state(settings)
    step = jax.jit(functools.partial(train_step, settings=settings, adversarial=True))
    got, _ = step(state, batch)
    g_params, d_params = jax.jit(
        functools.partial(naive_step, settings=settings, learning_rate=0.1)
    )(state, batch)
    for before, one, other in (
        (state.g_params, got.g_params, g_params),
        (state.d_params, got.d_params, d_params),
    ):
        for p, a, b in zip(*map(jax.tree.leaves, (before, one, other))):
            gradient, naive_gradient = (p - a) / 0.1, (p - b) / 0.1
            scale = np.abs(naive_gradient).max()
            assert scale > 0
            assert_allclose(gradient, naive_gradient, atol=max(1e-4 * scale, 1e-6))


def test_generator_meets_the_updated_discriminator():
    """With a discriminator that learns at another rate the generator's update changes."""
    batch = tiny_batch()
    results = []
    for rate in (0.0, 1.0):
        settings = tiny_settings(d_optimizer=optax.sgd(rate))
        step = jax.jit(functools.partial(train_step, settings=settings, adversarial=True))
        results.append(step(tiny_state(settings), batch)[0].g_params)
    slow, fast = (jax.tree.leaves(r) for r in results)
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(slow, fast))


def test_without_the_discriminator_it_stays_as_it_was():
    settings, batch = tiny_settings(), tiny_batch()
    state = tiny_state(settings)
    step = jax.jit(functools.partial(train_step, settings=settings, adversarial=False))
    got, metrics = step(state, batch)
    assert jax.tree.all(jax.tree.map(np.array_equal, got.d_params, state.d_params))
    assert set(metrics.compute()) == {"loss", "l1", "dice_loss", "cross_entropy"}
    assert int(got.step) == 1


def test_metrics_hold_what_the_losses_say():
    settings, batch = tiny_settings(), tiny_batch()
    step = jax.jit(functools.partial(train_step, settings=settings, adversarial=True))
    _, metrics = step(tiny_state(settings), batch)
    m = {name: float(value) for name, value in metrics.compute().items()}
    total = 0.5 * m["l1"] + m["dice_loss"] + 2 * m["cross_entropy"] + 0.3 * m["adversarial"]
    assert m["loss"] == pytest.approx(total, rel=1e-5)
    assert m["adversarial_weight"] == pytest.approx(0.3)
    assert 0 <= m["discriminator_accuracy"] <= 1


def test_runs_of_dilated_windows_are_understood():
    """A run of 6 slices with 2 targets and windows of 3 can only mean a stride of 2."""
    settings = tiny_settings()
    batch = tiny_batch(targets=2)
    batch["ct"] = np.concatenate([batch["ct"], batch["ct"][:, :2]], axis=1)
    step = jax.jit(functools.partial(train_step, settings=settings, adversarial=False))
    _, metrics = step(tiny_state(settings), batch)
    run = to_channels(jnp.asarray(batch["ct"]), HU_WINDOWS)
    logits = settings.generator.apply({"params": tiny_state(settings).g_params}, run, 2)
    want = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, batch["target"].astype(np.float32)))
    assert_allclose(metrics.compute()["cross_entropy"], want, rtol=1e-5)


def test_it_learns_a_batch_by_heart():
    settings = tiny_settings(optax.adam(0.02))
    step = jax.jit(functools.partial(train_step, settings=settings, adversarial=False))
    state, batch = tiny_state(settings), tiny_batch(runs=2)
    batch["target"] = (batch["ct"][:, 1:3] > 900).astype(np.uint8)
    for _ in range(60):
        state, metrics = step(state, batch)
    assert float(metrics.compute()["dice_loss"]) < 0.1
