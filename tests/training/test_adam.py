"""Adam beside optax's, and what an array does that sleeps first."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from vfseg.training.adam import adam


def _run(optimizer, params, gradients, rate=0.1):
    """Parameters after each gradient, the step taken as `train_step` takes it."""
    state, found = optimizer.init(params), []
    for gradient in gradients:
        direction, state = optimizer.update(gradient, state, params)
        params = jax.tree.map(lambda p, d: p - rate * d, params, direction)
        found.append(params)
    return found


def _gradients(seed, steps=6):
    rng = np.random.default_rng(seed)
    return [
        {"a": jnp.asarray(rng.normal(size=3), jnp.float32), "b": jnp.float32(rng.normal())}
        for _ in range(steps)
    ]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("b1", [0.9, 0.5])
def test_awake_from_the_start_it_is_optax_adam(b1, weight_decay):
    params, gradients = {"a": jnp.arange(3.0), "b": jnp.float32(2)}, _gradients(0)
    got = _run(adam(b1, weight_decay), params, gradients)
    twin = optax.adamw(0.1, b1=b1, weight_decay=weight_decay)
    state = twin.init(params)
    for one, gradient in zip(got, gradients, strict=True):
        updates, state = twin.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        jax.tree.map(lambda x, y: assert_allclose(x, y, rtol=1e-5, atol=1e-6), one, params)


def test_an_array_that_slept_wakes_as_if_training_began():
    """Decay leaves it alone while it sleeps; afterwards it does what it would have done alone."""
    params, gradients = {"a": jnp.arange(3.0), "b": jnp.float32(2)}, _gradients(1)
    asleep = [{"a": jnp.zeros(3), "b": g["b"]} for g in _gradients(2, 50)]
    slept = _run(adam(weight_decay=0.3), params, asleep + gradients)
    fresh = _run(adam(weight_decay=0.3), params, gradients)
    for state in slept[:50]:
        assert_array_equal(state["a"], params["a"])
    assert not np.array_equal(slept[49]["b"], params["b"])
    for late, early in zip(slept[50:], fresh, strict=True):
        assert_array_equal(late["a"], early["a"])


def test_its_first_update_has_the_length_of_the_rate():
    """optax, its correction spent after 1000 steps, takes (1 - 0.9) / sqrt(1 - 0.999) as much."""
    params, gradient = {"a": jnp.zeros(2)}, {"a": jnp.array([1e-3, -5.0])}
    gradients = [{"a": jnp.zeros(2)}] * 1000 + [gradient]
    last = _run(adam(), params, gradients)[-1]["a"]
    assert_allclose(last, [-0.1, 0.1], rtol=1e-4)


def test_an_array_that_is_awake_does_not_sleep_in_again():
    """A gradient that vanishes for a step counts, as in Adam: the moments go on."""
    params = {"a": jnp.zeros(1)}
    first, second = _run(adam(), params, [{"a": jnp.ones(1)}, {"a": jnp.zeros(1)}])
    mean, square = 0.09 / (1 - 0.9**2), 0.000999 / (1 - 0.999**2)
    assert_allclose(second["a"], first["a"] - 0.1 * mean / np.sqrt(square), rtol=1e-4)
