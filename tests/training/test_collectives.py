"""What four devices exchange is what one device would have found alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from numpy.testing import assert_allclose

from vfseg.training import losses
from vfseg.training.collectives import Devices, combined, mean, of_sums, weighted_mean

DEVICES = 4


def _batch(share):
    """Probabilities and a target, `device share`; about a fifth of the target is 1."""
    rng = np.random.default_rng(0)
    p, y = rng.uniform(size=(DEVICES, share)), rng.uniform(size=(DEVICES, share)) < 0.2
    return p.astype(np.float32), y.astype(np.float32)


def _terms(p, y):
    return {
        "mean": mean(p),
        "ratio": of_sums(lambda a, b: a / b, p, 1 + y),
        "weighted": weighted_mean(p, y),
        "both": combined(lambda a, b: 2 * a - b, weighted_mean(p, y), mean(p)),
        "dice": losses.dice_loss(p, y),
    }


def test_split_over_devices_every_term_is_the_same_number():
    """The pooled Dice of a batch is not the mean of its parts, so the sums have to cross."""
    p, y = _batch(24)
    split = jax.pmap(lambda p, y: Devices("data").exchange(_terms(p, y)), "data")(p, y)
    whole = Devices().exchange(_terms(p.reshape(-1), y.reshape(-1)))
    assert set(split) == set(whole)
    for name, number in whole.items():
        assert_allclose(split[name], np.full(DEVICES, number), rtol=1e-6)
    means = np.mean([float(losses.dice_loss(*share).alone()) for share in zip(p, y)])
    assert abs(float(whole["dice"]) - means) > 1e-3


@pytest.mark.parametrize("name", ["mean", "ratio", "weighted", "both", "dice"])
def test_so_is_its_gradient(name):
    """By a parameter that all devices share: the mean of what they find."""
    p, y = _batch(24)

    def slope(devices, p, y):
        def loss(scale):
            return devices.exchange(_terms(scale * p, y))[name]

        return devices.gradient({"scale": jax.grad(loss)(jnp.float32(0.7))})["scale"]

    split = jax.pmap(lambda p, y: slope(Devices("data"), p, y), "data")(p, y)
    whole = slope(Devices(), p.reshape(-1), y.reshape(-1))
    assert abs(whole) > 1e-3
    assert_allclose(split, np.full(DEVICES, whole), rtol=1e-5)


def test_all_terms_cross_at_once():
    """The compiled program holds one exchange, however JAX traces the tuple."""
    p, y = _batch(3)
    mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Auto,))

    @jax.jit
    def exchange(p, y):
        return jax.shard_map(
            lambda p, y: Devices("data").exchange(_terms(p[0], y[0])),
            mesh=mesh,
            in_specs=PartitionSpec("data"),
            out_specs=PartitionSpec(),
            check_vma=False,
        )(p, y)

    program = exchange.lower(p, y).compile().as_text()
    assert len(re.findall(r" all-reduce(?:-start)?\(", program)) == 1


def test_weights_of_0_give_0():
    assert float(weighted_mean(jnp.array([0.25, 0.75]), jnp.zeros(2)).alone()) == 0


def test_places_count_through_the_whole_batch():
    places = jax.pmap(lambda x: Devices("data").places(len(x)), "data")(np.zeros((DEVICES, 3)))
    assert places.reshape(-1).tolist() == list(range(12))
    assert Devices().places(3).tolist() == [0, 1, 2]
