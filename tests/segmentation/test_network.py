"""The segmenter's network: what goes in and comes out, and which vertebra it is told of."""

import jax
import jax.numpy as jnp
import numpy as np

from vfseg.segmentation.network import Segmenter, first_params
from vfseg.segmentation.patch import SHAPE


def test_a_logit_for_each_voxel():
    seen = jax.eval_shape(
        lambda x: Segmenter().init_with_output(jax.random.key(0), x)[0],
        jax.ShapeDtypeStruct((2, *SHAPE), jnp.float32),
    )
    assert (seen.shape, seen.dtype) == ((2, *SHAPE), jnp.float32)


def test_patches_do_not_see_each_other_and_a_place_is_told_apart_from_others():
    """In a patch of one value all over, nothing but the heat map tells places apart."""
    params = first_params(0)
    run = jax.jit(lambda hu: Segmenter().apply({"params": params}, hu))
    flat = jnp.zeros((1, *SHAPE))
    both = run(jnp.concatenate([flat, flat + 300]))
    np.testing.assert_allclose(both[:1], run(jnp.concatenate([flat, flat]))[:1], atol=1e-5)
    inner = both[0, 16:32, 12:28, 16:32]
    assert float(inner.max() - inner.min()) > 1e-3
