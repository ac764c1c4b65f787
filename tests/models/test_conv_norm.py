"""What ConvNorm holds in each of its forms, and the separated pooling beside flax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from tests.parameters import random_params
from vfseg.models.conv_norm import ConvNorm, max_pool_3x3, with_constant


def _image(h, w, c=6):
    return np.random.default_rng(0).normal(size=(2, h, w, c)).astype(np.float32)


@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (1, 2)])
def test_pooling_is_max_pool_with_one_pixel_of_padding(shape):
    x = _image(*shape)
    twin = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    np.testing.assert_array_equal(max_pool_3x3(jnp.asarray(x)), twin)


@pytest.mark.parametrize("depthwise", [False, True])
def test_group_has_no_bias_before_the_norm_and_folded_has_only_the_bias(depthwise):
    x = _image(4, 4)
    group = random_params(ConvNorm(6, 3, depthwise=depthwise), x)
    folded = random_params(ConvNorm(6, 3, depthwise=depthwise, norm="folded"), x)
    assert set(group) == {"conv", "norm"}
    assert set(group["conv"]) == {"kernel"}
    assert set(folded) == {"conv"}
    assert set(folded["conv"]) == {"kernel", "bias"}


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="no norm 'batch'; there is group and folded"):
        ConvNorm(4, 3, norm="batch").init(jax.random.key(0), _image(4, 4))


@pytest.mark.parametrize("norm", ["group", "folded"])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("side", [2, 4])
def test_bfloat16_mode(norm, depthwise, side):
    module = ConvNorm(6, 3, norm=norm, depthwise=depthwise, dtype=jnp.bfloat16)
    out, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), _image(side, side))
    assert out.dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_a_constant_channel_is_appended():
    x = _image(2, 3)
    out = with_constant(jnp.asarray(x))
    np.testing.assert_array_equal(out[..., :6], x)
    np.testing.assert_array_equal(out[..., 6], 1)
