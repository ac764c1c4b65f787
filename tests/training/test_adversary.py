"""R1 against finite differences, spectral norm against the singular value decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.parameters import random_params
from tests.training.tiny import (
    ADVERSARIAL,
    tiny_adversary,
    tiny_batch,
    tiny_settings,
    tiny_state,
)
from vfseg.models.discriminator import Discriminator
from vfseg.training.adversary import Pairs, discriminator_loss, patch_weights, r1_penalty
from vfseg.training.collectives import Devices
from vfseg.training.step import train_step


def _pairs(n=2):
    rng = np.random.default_rng(0)
    ct = jnp.asarray(rng.normal(size=(n, 8, 8, 1)), jnp.float32)
    real = jnp.asarray(rng.integers(0, 2, (n, 8, 8)), jnp.float32)
    return Pairs(ct, real, jnp.asarray(rng.uniform(size=(n, 8, 8)), jnp.float32))


def _loss(params, pairs, **changes):
    """Loss on one device and its parts."""
    settings = tiny_adversary(**changes)

    @jax.jit
    def loss(params, pairs):
        loss, (outputs, _) = discriminator_loss(params, {}, pairs, settings, Devices())
        return loss, outputs

    return loss(params, pairs)


def _params(pairs):
    return random_params(Discriminator((4, 8)), pairs.ct, pairs.real)


def test_r1_is_the_squared_slope_at_the_drawn_masks():
    ct, real, _ = _pairs()
    discriminator = Discriminator((4, 8))
    variables = {"params": random_params(discriminator, ct, real)}
    verdict = jax.jit(lambda y: jnp.sum(discriminator.apply(variables, ct, y), axis=(1, 2)))
    squares, step = np.zeros(2), 1e-2
    for place in np.ndindex(8, 8):
        bump = jnp.zeros((8, 8)).at[place].set(step)[None]
        slope = (verdict(real + bump) - verdict(real - bump)) / (2 * step)
        squares += np.asarray(slope, np.float64) ** 2
    got = jax.jit(lambda v: r1_penalty(v, discriminator, ct, real).alone())(variables)
    assert_allclose(got, squares.mean(), rtol=1e-2)


def test_r1_enters_the_loss_with_half_its_weight():
    pairs = _pairs()
    params = _params(pairs)
    plain, _ = _loss(params, pairs)
    more, outputs = _loss(params, pairs, r1=3.0)
    assert_allclose(more - plain, 1.5 * outputs["r1"], rtol=1e-4)


@pytest.mark.parametrize("updates", [50])
def test_spectral_norm_finds_the_largest_singular_value(updates):
    """After enough updates every kernel is divided by it; the network is 1-Lipschitz in between."""
    settings = tiny_settings(adversary={"network": Discriminator((4, 8), spectral_norm=True)})
    state, batch = tiny_state(settings), tiny_batch()
    ct = jnp.zeros((1, 16, 16, 1))
    fracture = jnp.zeros((1, 16, 16))
    variables = {"params": state.d_params, "batch_stats": state.d_stats}
    network = settings.adversary.network
    update = jax.jit(
        lambda v: network.apply(v, ct, fracture, update_stats=True, mutable=["batch_stats"])[1]
    )
    for _ in range(updates):
        variables |= update(variables)
    stats = {
        "/".join(path[-3:]): value
        for path, value in _flat(variables["batch_stats"])
        if path[-1].endswith("sigma")
    }
    assert len(stats) == 3
    found = sorted(float(value) for value in stats.values())
    kernels = [v for path, v in _flat(state.d_params) if path[-1] == "kernel"]
    true = sorted(np.linalg.svd(k.reshape(-1, k.shape[-1]), compute_uv=False)[0] for k in kernels)
    assert_allclose(found, true, rtol=1e-3)
    after, _ = jax.jit(lambda s: train_step(s, batch, settings, phase=ADVERSARIAL))(state)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), after.d_stats, state.d_stats)
    assert max(jax.tree.leaves(moved)) > 0


def _flat(tree):
    return [
        (tuple(str(k.key) for k in path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


@pytest.mark.parametrize("form", ["least_squares", "hinge"])
def test_a_step_with_another_form_lowers_its_own_loss(form):
    """A small step of the discriminator alone along its gradient lowers its loss."""
    pairs = _pairs()
    params = _params(pairs)

    def loss(params):
        return _loss(params, pairs, form=form)[0]

    gradient = jax.grad(loss)(params)
    stepped = jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient)
    assert loss(stepped) < loss(params)


def test_patches_with_something_in_or_beside_them_count():
    """8x8 maps, 4x4 patches of 2x2 pixels: a pixel in patch (1, 1) reaches all its neighbours."""
    real, fake = np.zeros((2, 2, 8, 8), np.float32)
    real[0, 2, 3] = 1
    fake[1, 7, 7] = 0.1
    fake[1, 0, 0] = 0.09
    got = patch_weights(jnp.asarray(real), jnp.asarray(fake), (2, 4, 4))
    want = np.zeros((2, 4, 4))
    want[0, :3, :3] = 1
    want[1, 2:, 2:] = 1
    assert_allclose(got, want)


def test_patches_of_weight_0_neither_count_nor_move_the_discriminator():
    """With nothing shown anywhere the loss is 0; with something it is the mean over those."""
    ct, empty = _pairs().ct, jnp.zeros((2, 8, 8))
    nothing = Pairs(ct, empty, empty)
    params = _params(nothing)
    loss, outputs = _loss(params, nothing, everywhere=False)
    assert float(loss) == 0
    assert float(outputs["discriminator_accuracy"]) == 0
    real = empty.at[0].set(1.0)  # everything of the first slice, nothing of the second
    loss, _ = _loss(params, Pairs(ct, real, empty), everywhere=False)
    want, _ = _loss(params, Pairs(ct[:1], real[:1], empty[:1]))
    assert_allclose(loss, want, rtol=1e-5)
