"""One answer a slice, from that slice alone, at any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.parameters import random_params
from vfseg.models.slice_classifier import SliceClassifier

SMALL = (4, 4, 8, 8, 8)


def _run(r, h=48, w=40, seed=0):
    return np.random.default_rng(seed).normal(size=(2, r, h, w, 2)).astype(np.float32)


@pytest.mark.parametrize("norm", ["group", "folded"])
def test_logit_of_a_slice_is_the_head_on_the_mean_of_its_features(norm):
    classifier, run = SliceClassifier(SMALL, norm=norm), _run(3)
    params = random_params(classifier, run)
    logits, kept = jax.jit(
        lambda p, x: classifier.apply(p, x, capture_intermediates=lambda m, _: m.name == "trunk")
    )({"params": params}, run)
    assert logits.shape == (2, 3, 48, 40)
    assert logits.dtype == jnp.float32
    coarsest = np.asarray(kept["intermediates"]["trunk"]["__call__"][0][-1])
    assert coarsest.shape == (6, 2, 2, 8)  # 48 -> 24 -> 12 -> 6 -> 3 -> 2, 40 -> ... -> 2
    pooled = coarsest.reshape(2, 3, 4, 8).mean(axis=2)
    expected = pooled @ params["head"]["kernel"][:, 0] + params["head"]["bias"]
    assert_allclose(logits, np.broadcast_to(expected[..., None, None], logits.shape), atol=1e-5)


def test_other_slices_do_not_matter():
    classifier, run = SliceClassifier(SMALL), _run(3)
    variables = {"params": random_params(classifier, run)}
    apply = jax.jit(classifier.apply)
    changed = run.copy()
    changed[:, 1] = _run(1, seed=1)[:, 0]
    before, after = apply(variables, run), apply(variables, changed, 2, recurrent=True)
    assert_allclose(before[:, ::2], after[:, ::2], atol=1e-6)
    assert np.abs(before[:, 1] - after[:, 1]).min() > 1e-3


def test_it_is_marked_and_sees_one_slice():
    assert SliceClassifier.judges_slices
    assert SliceClassifier().window == 1
    with pytest.raises(ValueError, match="sees one slice, not a window of 5"):
        SliceClassifier(SMALL, window=5).init(jax.random.key(0), _run(5))


def test_bfloat16_mode_keeps_parameters_and_logits_float32():
    classifier = SliceClassifier(SMALL, dtype=jnp.bfloat16)
    logits, variables = jax.eval_shape(
        classifier.init_with_output, jax.random.key(0), jnp.asarray(_run(2))
    )
    assert logits.dtype == jnp.float32
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
