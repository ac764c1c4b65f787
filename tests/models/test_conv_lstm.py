"""The recurrence against a plain loop, against flax's own cell, and its shape in the program."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.jaxprs import scans
from tests.parameters import random_params
from vfseg.models.conv_lstm import ConvLSTM, ConvLSTMCell

FEATURES = 3


def _run(r=7, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(2, r, 6, 5, 4)), jnp.float32)


def _plain_states(params, name, slices):
    """All states over a list of slices `n h w c`, in a Python loop, by flax's cell."""
    # flax names its two convolutions ih and hh, and orders the gates i, g, f, o.
    cell_params = {"ih": params[f"{name}_input"], "hh": {**params[name]["hidden"]}}
    cell_params["hh"]["bias"] = jnp.zeros(4 * FEATURES)
    cell = nn.ConvLSTMCell(FEATURES, (3, 3))
    n, h, w, _ = slices[0].shape
    carry = (jnp.zeros((n, h, w, FEATURES)), jnp.zeros((n, h, w, FEATURES)))
    states = []
    step = jax.jit(lambda carry, x: cell.apply({"params": cell_params}, carry, x))
    for x in slices:
        carry, state = step(carry, x)
        states.append(state)
    return states


@pytest.mark.parametrize(("window", "dilation", "r"), [(5, 1, 5), (5, 1, 8), (3, 2, 7), (1, 1, 2)])
def test_equals_flax_cell_in_a_plain_loop(window, dilation, r):
    run = _run(r)
    model = ConvLSTM(FEATURES, window, dilation)
    params = random_params(model, run)
    got = jax.jit(model.apply)({"params": params}, run)
    k = r - (window - 1) * dilation
    for j in range(k):
        slices = [run[:, j + i * dilation] for i in range(window)]
        want = _plain_states(params, "forward", slices)[-1]
        assert_allclose(got[:, j], want, atol=1e-6)
    assert got.shape == (2, k, 6, 5, FEATURES)


def test_bidirectional_states_meet_at_the_middle_slice():
    run = _run(6)
    model = ConvLSTM(FEATURES, 5, bidirectional=True)
    params = random_params(model, run)
    got = jax.jit(model.apply)({"params": params}, run)
    for j in range(2):
        ahead = _plain_states(params, "forward", [run[:, j + i] for i in (0, 1, 2)])[-1]
        back = _plain_states(params, "backward", [run[:, j + i] for i in (4, 3, 2)])[-1]
        assert_allclose(got[:, j], jnp.concatenate([ahead, back], -1), atol=1e-6)


def test_cell_follows_its_formula():
    """One pixel, one feature, no neighbours: the gates can be computed by hand."""
    cell = ConvLSTMCell(1)
    x = jnp.array([0.1, 0.2, 0.3, 0.4]).reshape(1, 1, 1, 4)
    c, h = jnp.full((1, 1, 1, 1), 0.5), jnp.full((1, 1, 1, 1), -0.25)
    kernel = jnp.zeros((3, 3, 1, 4)).at[1, 1, 0].set(jnp.array([1.0, 2.0, 3.0, 4.0]))
    (new_c, new_h), out = cell.apply({"params": {"hidden": {"kernel": kernel}}}, (c, h), x)

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    i, g, f, o = (0.1 - 0.25, 0.2 - 0.5, 0.3 - 0.75, 0.4 - 1.0)
    want_c = sigmoid(f + 1) * 0.5 + sigmoid(i) * np.tanh(g)
    assert_allclose(new_c[0, 0, 0, 0], want_c, rtol=1e-6)
    assert_allclose(new_h[0, 0, 0, 0], sigmoid(o) * np.tanh(want_c), rtol=1e-6)
    assert out is new_h


def test_states_have_the_dtypes_they_are_said_to_have():
    cell = ConvLSTMCell(2, jnp.bfloat16)
    x = jnp.ones((1, 4, 4, 8), jnp.bfloat16)
    carry = (jnp.zeros((1, 4, 4, 2), jnp.float32), jnp.zeros((1, 4, 4, 2), jnp.bfloat16))
    params = jax.eval_shape(cell.init, jax.random.key(0), carry, x)["params"]
    (c, h), out = jax.eval_shape(cell.apply, {"params": params}, carry, x)
    assert (c.dtype, h.dtype, out.dtype) == (jnp.float32, jnp.bfloat16, jnp.bfloat16)
    assert params["hidden"]["kernel"].dtype == jnp.float32


def test_program_holds_one_scan_of_length_t():
    """The recurrence is a scan, no Python loop: T copies of the cell would be T convolutions."""
    for window in (3, 5):
        model = ConvLSTM(FEATURES, window)
        run = _run(window)
        variables = {"params": random_params(model, run)}
        jaxpr = jax.make_jaxpr(model.apply)(variables, run).jaxpr
        found = list(scans(jaxpr))
        assert [scan.params["length"] for scan in found] == [window]
        body = found[0].params["jaxpr"].jaxpr
        assert str(body).count("conv_general_dilated[") == 1
