"""The gate against its formula; the scales, the joining of recurrent features, the dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.parameters import random_params
from vfseg.models.attention_unet import AttentionGate, Decoder, Encoder
from vfseg.models.layers import ConvNormRelu


def test_gate_follows_its_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    g = rng.normal(size=(2, 2, 3, 5)).astype(np.float32)
    gate = AttentionGate(4)
    params = random_params(gate, x, g)
    got = gate.apply({"params": params}, x, g)

    p = jax.tree.map(np.asarray, params)
    for n, row, col in np.ndindex(2, 4, 6):
        inner = x[n, row, col] @ p["skip"]["kernel"]
        inner = inner + g[n, row // 2, col // 2] @ p["gate"]["kernel"] + p["gate"]["bias"]
        score = np.maximum(inner, 0) @ p["psi"]["kernel"] + p["psi"]["bias"]
        alpha = 1 / (1 + np.exp(-score))
        assert_allclose(got[n, row, col], alpha * x[n, row, col], rtol=2e-5, atol=1e-6)


def test_encoder_halves_and_says_so_where_it_cannot():
    encoder = Encoder((4, 8, 12))
    params = random_params(encoder, jnp.zeros((1, 16, 8, 2)))
    scales = jax.jit(encoder.apply)({"params": params}, jnp.zeros((3, 16, 8, 2)))
    assert [s.shape for s in scales] == [(3, 16, 8, 4), (3, 8, 4, 8), (3, 4, 2, 12)]
    with pytest.raises(ValueError, match="do not halve 2 times"):
        encoder.init(jax.random.key(0), jnp.zeros((1, 10, 8, 2)))


def test_recurrent_features_join_at_their_own_scale():
    """A scale with recurrence has a kernel of its own for it, beside that for the rest."""
    features, recurrent_features = (4, 8, 16), 5
    skips = [jnp.zeros((1, 16 >> s, 16 >> s, f)) for s, f in enumerate(features)]
    recurrent = {s: jnp.zeros((1, 16 >> s, 16 >> s, recurrent_features)) for s in (1, 2)}
    params = random_params(Decoder(features, (1, 2)), skips, recurrent)

    def inputs(scale):
        convs = params[f"scale{scale}"]["ConvNormRelu_0"]
        return {name: conv["kernel"].shape[2] for name, conv in convs.items() if "kernel" in conv}

    assert inputs(2) == {"Conv_0": 16, "side": recurrent_features}
    assert inputs(1) == {"Conv_0": 16 + 8, "side": recurrent_features}
    assert inputs(0) == {"Conv_0": 8 + 4}


def test_a_side_input_counts_like_joined_channels():
    """Two kernels added are one kernel over the joined channels."""
    rng = np.random.default_rng(0)
    x, side = (jnp.asarray(rng.normal(size=(2, 6, 6, c)), jnp.float32) for c in (3, 2))
    block = ConvNormRelu(8)
    params = random_params(block, x, side)
    joined = {**params, "Conv_0": {}}
    kernels = [params["Conv_0"]["kernel"], joined.pop("side")["kernel"]]
    joined["Conv_0"] = {"kernel": np.concatenate(kernels, axis=2)}
    want = block.apply({"params": joined}, jnp.concatenate([x, side], axis=-1))
    assert_allclose(block.apply({"params": params}, x, side), want, atol=1e-5)


def test_without_attention_the_skips_pass_whole():
    skips = [jnp.zeros((1, 8 >> s, 8 >> s, f)) for s, f in enumerate((4, 8))]
    names = set(random_params(Decoder((4, 8), attention=False), skips, {}))
    assert names == {"scale0", "head"}
    assert set(random_params(Decoder((4, 8)), skips, {})) == names | {"gate0"}


def test_untrained_decoder_answers_near_the_prior():
    """With the head's kernel at 0 every voxel gets exactly the prior."""
    features = (4, 8)
    skips = [jnp.ones((1, 8 >> s, 8 >> s, f)) for s, f in enumerate(features)]
    decoder = Decoder(features, prior=0.02)
    params = random_params(decoder, skips, {})
    params["head"] = jax.tree.map(np.zeros_like, params["head"])
    logits = jax.jit(decoder.apply)({"params": params}, skips, {})
    assert_allclose(jax.nn.sigmoid(logits), 0.02, rtol=1e-5)
    assert logits.dtype == jnp.float32


def test_logits_are_float32_in_bfloat16_mode():
    features = (4, 8)
    encoder, decoder = Encoder(features, jnp.bfloat16), Decoder(features, dtype=jnp.bfloat16)

    def forward(x):
        scales, _ = encoder.init_with_output(jax.random.key(0), x)
        return scales, *decoder.init_with_output(jax.random.key(0), scales, {})

    scales, logits, variables = jax.eval_shape(forward, jnp.ones((1, 8, 8, 1)))
    assert {s.dtype for s in scales} == {jnp.dtype(jnp.bfloat16)}
    assert logits.dtype == jnp.float32
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
