"""Encode-once runs against plain windows, and what the output may depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.jaxprs import scans
from tests.parameters import random_params
from vfseg.models.discriminator import Discriminator
from vfseg.models.generator import Generator


def _generator(**changes):
    settings = {"encoder": "plain", "features": (4, 8, 16), "attention": True, "window": 5}
    settings |= {"recurrent_scales": (1, 2), "recurrent_features": 3}
    return Generator(**{**settings, **changes})


def _run(r, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(2, r, 16, 16, 2)), jnp.float32)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_run_equals_its_plain_windows(dilation, bidirectional):
    generator, run = _generator(bidirectional=bidirectional), _run(11)
    params = random_params(generator, run)
    shared = jax.jit(generator.apply, static_argnums=2)({"params": params}, run, dilation)
    plain = jax.jit(generator.apply)
    k = 11 - 4 * dilation
    assert shared.shape == (2, k, 16, 16)
    for j in range(k):
        window = run[:, j : j + 4 * dilation + 1 : dilation]
        assert_allclose(shared[:, j], plain({"params": params}, window)[:, 0], atol=1e-5)


def test_every_slice_of_the_window_counts_and_none_beyond():
    generator, run = _generator(), _run(6)
    variables = {"params": random_params(generator, run)}

    def first_target(run):
        return jnp.sum(generator.apply(variables, run)[:, 0] ** 2)

    by_slice = np.abs(jax.jit(jax.grad(first_target))(run)).sum(axis=(0, 2, 3, 4))
    assert (by_slice[:5] > 0).all()
    assert by_slice[5] == 0


def test_window_of_one_has_no_recurrence():
    generator, run = _generator(window=1), _run(3)
    params = random_params(generator, run)
    assert set(params) == {"encoder", "decoder"}
    assert jax.eval_shape(generator.apply, {"params": params}, run).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(("window", "lengths"), [(5, [5, 5]), (1, [])])
@pytest.mark.parametrize("targets", [1, 4])
def test_program_holds_one_scan_of_length_t_a_recurrent_scale(window, lengths, targets):
    """However many windows a run holds, they take their T steps together."""
    generator, run = _generator(window=window), _run(window + targets - 1)
    variables = {"params": random_params(generator, run)}
    jaxpr = jax.make_jaxpr(generator.apply)(variables, run).jaxpr
    assert [scan.params["length"] for scan in scans(jaxpr)] == lengths


def test_too_short_a_run_is_refused():
    with pytest.raises(ValueError, match="a run of 4 slices holds no window of 5"):
        random_params(_generator(), _run(4))


def test_bfloat16_mode_keeps_parameters_and_logits_float32():
    generator, run = _generator(dtype=jnp.bfloat16), _run(5)
    logits, variables = jax.eval_shape(generator.init_with_output, jax.random.key(0), run)
    assert logits.dtype == jnp.float32
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_discriminator_judges_patches_and_looks_at_both_inputs():
    discriminator = Discriminator((8, 16, 16))
    rng = np.random.default_rng(0)
    ct = jnp.asarray(rng.normal(size=(2, 32, 32, 1)), jnp.float32)
    fracture = jnp.asarray(rng.uniform(size=(2, 32, 32)), jnp.float32)
    variables = {"params": random_params(discriminator, ct, fracture)}
    logits = jax.jit(discriminator.apply)(variables, ct, fracture)
    assert logits.shape == (2, 8, 8)  # two strides of 2
    assert logits.dtype == jnp.float32

    def total(ct, fracture):
        return jnp.sum(discriminator.apply(variables, ct, fracture) ** 2)

    by_ct, by_fracture = jax.jit(jax.grad(total, argnums=(0, 1)))(ct, fracture)
    assert np.abs(by_ct).max() > 0
    assert np.abs(by_fracture).max() > 0
