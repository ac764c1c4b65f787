"""The forms for CPUs beside the plain ones: same answers, same parameters, chosen in one place."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from numpy.testing import assert_allclose

from tests.jaxprs import count, scans
from tests.parameters import random_params
from vfseg.models import cpu_forms
from vfseg.models.conv_lstm import ConvLSTM
from vfseg.models.conv_norm import ConvNorm
from vfseg.models.cpu_forms import DepthwiseConv

NETWORKS = {
    "depthwise": (ConvNorm(6, 3, depthwise=True), (2, 8, 6, 6)),
    "depthwise, strided": (ConvNorm(6, 5, 2, depthwise=True, norm="folded"), (2, 7, 5, 6)),
    "small": (ConvNorm(4, 3, 1, 1), (2, 3, 3, 6)),
    "small, strided": (ConvNorm(4, 7, 2, 3, norm="folded"), (2, 2, 5, 6)),
    "recurrent": (ConvLSTM(3, window=3), (1, 4, 6, 5, 4)),
}
"""Modules with an input for which they take another form on a CPU."""


def _image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _both(module, params, twin, twin_params, x):
    """The answers of two modules, by one program."""
    return module.apply({"params": params}, x), twin.apply({"params": twin_params}, x)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (2, 3)])
def test_depthwise_sum_is_the_grouped_convolution(size, stride, shape):
    x = _image(2, *shape, 6)
    module = DepthwiseConv(size, stride, use_bias=True)
    params = random_params(module, x)
    twin = nn.Conv(6, (size, size), stride, "SAME", feature_group_count=6)
    found, expected = _both(module, params, twin, params, x)
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (1, 1)])
@pytest.mark.parametrize("padding", ["SAME", "as PyTorch"])
def test_a_small_map_is_convolved_as_a_large_one(size, stride, shape, padding):
    x = _image(2, *shape, 6)
    padding = padding if padding == "SAME" else size // 2
    module = ConvNorm(4, size, stride, padding, norm="folded")
    params = random_params(module, x)
    twin = nn.Conv(4, (size, size), stride, padding)
    found, expected = _both(module, params, twin, params["conv"], x)
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_values_and_gradients_are_those_of_the_plain_form(name, monkeypatch):
    module, shape = NETWORKS[name]
    x = _image(*shape)
    params = random_params(module, x)
    weight = _image(*jax.eval_shape(module.apply, {"params": params}, x).shape)

    def answers():
        def answer(params, x):
            y = module.apply({"params": params}, x)
            return jnp.sum(weight * y), y

        return jax.jit(jax.value_and_grad(answer, (0, 1), has_aux=True))(params, x)

    found = []
    for on_cpu in (True, False):
        monkeypatch.setattr(cpu_forms, "on_cpu", lambda on_cpu=on_cpu: on_cpu)
        assert jax.tree.map(np.shape, random_params(module, x)) == jax.tree.map(np.shape, params)
        found.append(answers())
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_an_accelerator_gets_the_plain_form(name, monkeypatch):
    """One convolution and no sum over shifted images; or a scan whose body is not repeated."""
    module, shape = NETWORKS[name]
    x = _image(*shape)
    variables = {"params": random_params(module, x)}

    def program(on_cpu):
        monkeypatch.setattr(cpu_forms, "on_cpu", lambda: on_cpu)
        return jax.make_jaxpr(lambda v, x: module.apply(v, x))(variables, x).jaxpr

    if name == "recurrent":
        unrolled, rolled = ([s.params["unroll"] for s in scans(program(c))] for c in (True, False))
        assert (unrolled, rolled) == ([3], [1])
    else:
        convolutions = [count(program(c), "conv_general_dilated") for c in (True, False)]
        assert convolutions == [0, 1]


def test_the_backend_is_asked():
    assert cpu_forms.on_cpu(), "these tests run on a CPU"
