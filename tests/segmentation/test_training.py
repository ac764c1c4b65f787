"""The loss where its value is known, and that training lowers it."""

import jax
import numpy as np
import pytest

from tests.segmentation.test_samples import make_case
from vfseg.segmentation import training
from vfseg.segmentation.network import first_params
from vfseg.segmentation.patch import SHAPE
from vfseg.segmentation.samples import Sample
from vfseg.segmentation.training import loss, train


def test_the_loss_of_a_silent_network_is_known():
    """Every logit is 0, every probability a half."""
    params = first_params(0)
    last = max(name for name in params if name.startswith("Dense"))
    params[last] = {k: np.zeros_like(v) for k, v in params[last].items()}
    mask = np.zeros((2, *SHAPE), np.float32)
    mask[:, 10:30, 10:30, 20:40] = 1
    total, dice = jax.jit(loss)(params, Sample(np.zeros_like(mask), mask))
    inside, voxels = 8000, np.prod(SHAPE)
    expected = 2 * 0.5 * inside / (0.5 * voxels + inside + 1)
    assert dice == pytest.approx(expected, rel=1e-5)
    assert total == pytest.approx(5 * np.log(2) + 1 - expected, rel=1e-5)


def test_equal_trainings_give_equal_weights_and_learn_something(monkeypatch):
    monkeypatch.setattr(training, "RATE", 1e-3)
    seen = []

    def one(seed=0, steps=3):
        return train([make_case()], steps, seed, lambda step, mean: seen.append(step))

    first, again = one(), one()
    assert seen == [3, 3]
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again)):
        np.testing.assert_array_equal(a, b)
    started = jax.tree.leaves(first_params(0))
    assert any(np.abs(a - b).max() > 0 for a, b in zip(started, jax.tree.leaves(first)))
