"""Forms that are timed against each other compute the same."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks.cpu_tricks import HERE, PLAIN, race, tricks
from tests.jaxprs import scans


@pytest.fixture(scope="module")
def found():
    return tricks(4)


def test_both_forms_give_the_same(found):
    for name, trick in found.items():
        x = np.random.default_rng(0).normal(size=trick.shape).astype(np.float32)
        one, other = (jax.jit(form)(trick.params, x) for form in (trick.here, trick.plain))
        assert_allclose(one, other, atol=1e-4, err_msg=name)


def test_the_plain_recurrence_is_rolled(found):
    trick = found["ConvLSTM over 5 slices"]
    x = jax.ShapeDtypeStruct(trick.shape, np.float32)
    programs = [jax.make_jaxpr(form)(trick.params, x).jaxpr for form in (trick.here, trick.plain)]
    assert [scan.params["unroll"] for program in programs for scan in scans(program)] == [5, 1]


def test_a_trick_is_timed_forward_and_with_backward(found):
    forward, both = race("Pool", found["Maximum of 2x2"], rounds=1)
    assert [table.title.split(": ")[1] for table in (forward, both)] == [
        "forward",
        "forward and backward",
    ]
    assert [row.name for row in both.rows] == [HERE, PLAIN]
