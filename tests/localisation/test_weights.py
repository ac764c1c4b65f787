"""Weights in a file: what comes back, and what is refused."""

import jax
import numpy as np
import pytest

from vfseg.errors import UserError
from vfseg.localisation.network import first_params
from vfseg.localisation.weights import read_weights, write_weights


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    shapes = first_params(0)
    return jax.tree.map(lambda a: rng.standard_normal(a.shape).astype(np.float32), shapes)


def test_they_come_back_to_half_precision_and_are_small(params, tmp_path):
    path = tmp_path / "weights.npz"
    write_weights(path, params)
    back = read_weights(path)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(back)):
        assert b.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=2**-10, atol=1e-6)
    assert path.stat().st_size < 15e6


def test_none_damaged_or_others_are_refused(params, tmp_path):
    path = tmp_path / "weights.npz"
    with pytest.raises(UserError, match="there are no weights"):
        read_weights(path)
    path.write_bytes(b"PK no")
    with pytest.raises(UserError, match="damaged"):
        read_weights(path)
    write_weights(path, {"params": {"other": np.ones(3)}})
    with pytest.raises(UserError, match="another network"):
        read_weights(path)
    write_weights(path, jax.tree.map(lambda a: np.full(a.shape, np.nan), params))
    with pytest.raises(UserError, match="no finite numbers"):
        read_weights(path)
