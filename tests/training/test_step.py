"""The one-forward step against a naive version that runs the generator once for each update."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from tests.parameters import random_params
from tests.training.tiny import (
    ADVERSARIAL,
    ATTENTION,
    HU_WINDOWS,
    SUPERVISED,
    tiny_batch,
    tiny_settings,
    tiny_state,
)
from vfseg.crops.intensity import to_channels
from vfseg.crops.settings import AugmentSettings
from vfseg.training.adam import adam
from vfseg.training.collectives import Devices
from vfseg.training.step import generator_loss, train_step

# One program of a phase serves most tests: compiling takes longer than what they compute.
PLAIN = tiny_settings(generator={"ema_decay": 0.15}, adversary={"pause_above": 0.8})
_COMPILED = {}


def _compiled(settings, phase):
    """The step under these very settings, traced and compiled once for all tests."""
    key = id(settings), phase
    if key not in _COMPILED:
        step = jax.jit(functools.partial(train_step, settings=settings, phase=phase))
        _COMPILED[key] = settings, step  # kept, so that no other settings get this id
    return _COMPILED[key][1]


def _step(settings, phase, state=None, batch=None):
    state = tiny_state(settings) if state is None else state
    state, metrics = _compiled(settings, phase)(state, batch or tiny_batch())
    return state, {name: float(value) for name, value in metrics.compute().items()}


def _with_accuracy(accuracy):
    """The state at step 0, the discriminator as right as that: it rests above 0.8."""
    return tiny_state(PLAIN).replace(d_accuracy=np.float32(accuracy))


def naive_step(state, batch, settings, learning_rate):
    """pix2pix in the order of its text: forward, update D, forward again, update G; SGD by hand."""
    run = to_channels(jnp.asarray(batch["ct"]), HU_WINDOWS)
    target = jnp.asarray(batch["target"], jnp.float32)
    b, k, h, w = target.shape
    ct = run[:, 1 : 1 + k].reshape(b * k, h, w, 1)
    real = target.reshape(b * k, h, w)

    def generate(g_params):
        return settings.generator.network.apply({"params": g_params}, run)

    def judge(d_params, fracture):
        return settings.adversary.network.apply({"params": d_params}, ct, fracture)

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
        weights = settings.losses
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
    settings, batch = PLAIN, tiny_batch()
    state = tiny_state(settings)
    # At the start the recurrent features do not count yet; here every parameter shall.
    run = jax.ShapeDtypeStruct((1, 4, 16, 16, 1), np.float32)
    state = state.replace(g_params=random_params(settings.generator.network, run))
    got, _ = _step(settings, ADVERSARIAL, state, batch)
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
    """Where the discriminator rests, the generator's update is another one."""
    resting, learning = (
        jax.tree.leaves(_step(PLAIN, ADVERSARIAL, _with_accuracy(accuracy))[0].g_params)
        for accuracy in (0.81, 0.79)
    )
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(resting, learning))


def test_without_the_discriminator_it_stays_as_it_was():
    state = tiny_state(PLAIN)
    got, metrics = _step(PLAIN, SUPERVISED)
    assert jax.tree.all(jax.tree.map(np.array_equal, got.d_params, state.d_params))
    supervised = {"loss", "l1_loss", "dice_loss", "cross_entropy_loss"}
    watched = {"probability_on_fracture", "probability_on_background"}
    assert set(metrics) == supervised | watched | {"gradient_norm", "learning_rate"}
    assert int(got.step) == 1


def test_metrics_hold_what_the_losses_say():
    _, m = _step(PLAIN, ADVERSARIAL)
    total = (
        0.5 * m["l1_loss"]
        + m["dice_loss"]
        + 2 * m["cross_entropy_loss"]
        + 0.3 * m["adversarial_loss"]
    )
    assert m["loss"] == pytest.approx(total, rel=1e-5)
    assert m["adversarial_weight"] == pytest.approx(0.3)
    assert 0 <= m["discriminator_accuracy"] <= 1


@pytest.mark.parametrize("fracture", [0.0, 1.0])
def test_the_watched_probabilities_are_means_by_class_and_0_where_there_is_none(fracture):
    logits, target = jnp.array([[[[-1.0, 2.0]]]]), jnp.full((1, 1, 1, 2), fracture)
    _, found = generator_loss(logits, target, {"l1": 1.0}, None, Devices())
    mean = np.mean(1 / (1 + np.exp([1.0, -2.0])))
    assert_allclose(found["probability_on_fracture"], fracture * mean, rtol=1e-6)
    assert_allclose(found["probability_on_background"], (1 - fracture) * mean, rtol=1e-6)


def test_runs_of_dilated_windows_are_understood():
    """A run of 6 slices with 2 targets and windows of 3 can only mean a stride of 2."""
    batch = tiny_batch(targets=2)
    batch["ct"] = np.concatenate([batch["ct"], batch["ct"][:, :2]], axis=1)
    _, metrics = _step(PLAIN, SUPERVISED, batch=batch)
    run = to_channels(jnp.asarray(batch["ct"]), HU_WINDOWS)
    network = jax.jit(PLAIN.generator.network.apply, static_argnums=2)
    logits = network({"params": tiny_state(PLAIN).g_params}, run, 2)
    want = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, batch["target"].astype(np.float32)))
    assert_allclose(metrics["cross_entropy_loss"], want, rtol=1e-5)


def test_it_learns_a_batch_by_heart():
    settings = tiny_settings(adam(), generator={"rate": optax.constant_schedule(0.02)})
    state, batch = tiny_state(settings), tiny_batch(runs=2)
    batch["target"] = (batch["ct"][:, 1:3] > 900).astype(np.uint8)
    for _ in range(60):
        state, metrics = _step(settings, SUPERVISED, state, batch)
    assert metrics["dice_loss"] < 0.1


def test_the_running_mean_follows_its_formula():
    """After two steps: d_t = min(decay, (1 + t) / (10 + t)) with t = 0 and 1."""
    first, _ = _step(PLAIN, SUPERVISED)
    second, _ = _step(PLAIN, SUPERVISED, first)
    start = tiny_state(PLAIN).g_params
    mean = jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, start, first.g_params)
    mean = jax.tree.map(lambda a, b: 0.15 * a + 0.85 * b, mean, second.g_params)
    jax.tree.map(lambda a, b: assert_allclose(a, b, atol=1e-6), second.ema_params, mean)


def test_a_discriminator_that_wins_rests_and_comes_back():
    state = _with_accuracy(0.81)
    after, metrics = _step(PLAIN, ADVERSARIAL, state)
    assert metrics["discriminator_paused"] == 1
    jax.tree.map(np.testing.assert_array_equal, after.d_params, state.d_params)
    want = 0.9 * 0.81 + 0.1 * metrics["discriminator_accuracy"]
    assert float(after.d_accuracy) == pytest.approx(want, rel=1e-6)
    again, metrics = _step(PLAIN, ADVERSARIAL, after.replace(d_accuracy=np.float32(0.79)))
    assert metrics["discriminator_paused"] == 0
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), again.d_params, after.d_params)
    assert max(jax.tree.leaves(moved)) > 0


def test_frozen_parameters_stay_and_the_others_learn():
    """Weight decay, too, would move them."""
    params = tiny_state(PLAIN).g_params
    frozen = jax.tree_util.tree_map_with_path(lambda path, _: path[0].key == "encoder", params)
    settings = tiny_settings(adam(weight_decay=0.1), generator={"frozen": lambda _: frozen})
    for phase in (SUPERVISED._replace(frozen=True), SUPERVISED):
        after, _ = _step(settings, phase)
        moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), after.g_params, params)
        assert (max(jax.tree.leaves(moved["encoder"])) > 0) is not phase.frozen
        assert max(jax.tree.leaves(moved["decoder"])) > 0


def test_the_first_stage_leaves_the_recurrence_alone_and_the_next_begins_where_it_ended():
    """The loss of the first recurrent step equals that of the network without recurrence."""
    settings = PLAIN
    after, _ = _step(settings, ATTENTION)
    start = tiny_state(settings).g_params
    for name in start:
        moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), after.g_params, start)[name]
        assert (max(jax.tree.leaves(moved)) > 0) is not name.startswith("conv_lstm"), name
    alone, with_neighbours = (
        _step(settings, phase, after)[1]["loss"] for phase in (ATTENTION, SUPERVISED)
    )
    assert alone == pytest.approx(with_neighbours, rel=1e-6)
    later, _ = _step(settings, SUPERVISED, _step(settings, SUPERVISED, after)[0])
    assert not np.array_equal(
        later.g_params["conv_lstm1"]["forward"]["hidden"]["kernel"],
        after.g_params["conv_lstm1"]["forward"]["hidden"]["kernel"],
    )


def test_the_first_stage_does_not_touch_the_neighbours_at_all():
    settings = tiny_settings(augment=AugmentSettings(rotation=20.0, noise=20.0, blur=1.0))
    whole, state = tiny_batch(), tiny_state(settings)
    alone = {**whole, "ct": whole["ct"][:, 1:3]}  # windows of 3: one neighbour on each side
    step = _compiled(settings, ATTENTION)
    costs = [step.lower(state, batch).cost_analysis()["flops"] for batch in (whole, alone)]
    assert costs[0] == costs[1]
    wholly, singly = (step(state, batch)[0].g_params for batch in (whole, alone))
    jax.tree.map(np.testing.assert_array_equal, wholly, singly)


def test_terms_of_weight_zero_are_not_computed():
    weights = {"l1": 0.0, "dice": 0.0, "cross_entropy": 0.0, "focal": 2.0, "focal_tversky": 3.0}
    _, m = _step(tiny_settings(losses=weights), SUPERVISED)
    assert m["loss"] == pytest.approx(2 * m["focal_loss"] + 3 * m["focal_tversky_loss"], rel=1e-5)
    assert not {"dice_loss", "l1_loss"} & set(m)
