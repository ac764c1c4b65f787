"""Norm and pooling beside flax's, values and gradients."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.parameters import random_params
from vfseg.models.layers import GroupNorm, group_count, max_pool2


@pytest.mark.parametrize("shape", [(2, 4, 6, 16), (3, 2, 2, 12), (1, 5, 3, 3)])
def test_group_norm_is_that_of_flax(shape):
    """Same parameters, same values, same gradients with respect to input and parameters."""
    rng = np.random.default_rng(0)
    x = (3 + 2 * rng.normal(size=shape)).astype(np.float32)
    weight = rng.normal(size=shape).astype(np.float32)
    twin = nn.GroupNorm(group_count(shape[-1]))
    params = random_params(GroupNorm(), x)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, random_params(twin, x))

    def answer(module):
        def weighted(params, x):
            y = module.apply({"params": params}, x)
            return jnp.sum(weight * y), y

        return jax.jit(jax.value_and_grad(weighted, (0, 1), has_aux=True))(params, x)

    (_, got), got_gradients = answer(GroupNorm())
    (_, wanted), wanted_gradients = answer(twin)
    assert_allclose(got, wanted, atol=1e-4)
    for one, other in zip(jax.tree.leaves(got_gradients), jax.tree.leaves(wanted_gradients)):
        assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_group_norm_takes_its_statistics_in_float32():
    """bfloat16 holds 3 digits: sums of it would lose a mean of 100 with a deviation of 1."""
    x = 100 + np.random.default_rng(0).normal(size=(2, 16, 16, 8)).astype(np.float32)
    x = jnp.asarray(x, jnp.bfloat16)
    y = GroupNorm(jnp.bfloat16).apply({"params": {"scale": jnp.ones(8), "bias": jnp.zeros(8)}}, x)
    assert y.dtype == jnp.bfloat16
    exact = np.asarray(x, np.float64)  # groups of one channel
    exact = (exact - exact.mean((1, 2), keepdims=True)) / exact.std((1, 2), keepdims=True)
    assert_allclose(np.asarray(y, np.float64), exact, atol=0.03)


def test_pooling_is_max_pool_and_so_is_its_gradient():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 8, 3)).astype(np.float32)
    weight = rng.normal(size=(2, 3, 4, 3)).astype(np.float32)

    def twin(x):
        return nn.max_pool(x, (2, 2), (2, 2))

    assert_array_equal(max_pool2(jnp.asarray(x)), twin(x))

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(pool, x):
        return jax.grad(lambda x: jnp.sum(weight * pool(x)))(x)

    assert_array_equal(gradient(max_pool2, x), gradient(twin, x))
