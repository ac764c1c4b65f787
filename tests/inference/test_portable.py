"""The exported program: its views, members and kinds of devices, with a network of one product.

What a real one answers is a matter of `tests/commands/test_export.py`.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.cohort import tiny_config
from vfseg import devices
from vfseg.config.recipe import compute_dtype
from vfseg.inference.portable import PLATFORMS, exported_model
from vfseg.inference.predict import Predictor
from vfseg.inference.views import Views
from vfseg.models import cpu_forms

ALL = Views(("axial", "sagittal"), flips=True, shifts=1)
CUBE, LONG = (6, 6, 6), (8, 6, 4)


def rising(factor, runs):
    """Depends on the place within the run, so that no view answers like another."""
    place = jnp.arange(runs[0].size, dtype=jnp.float32).reshape(1, *runs.shape[1:])
    return factor * (runs.astype(jnp.float32) + place)


@pytest.mark.parametrize("views", [Views(("coronal",)), ALL])
@pytest.mark.parametrize("shape", [CUBE, LONG])
def test_it_answers_as_the_predictor_does(views, shape):
    crops = np.random.default_rng(0).integers(-99, 99, (3, *shape), np.int16)
    exported = exported_model(lambda: rising, [2.0], views, shape)
    expected = Predictor(rising, views).slices(2.0, crops)
    np.testing.assert_array_equal(exported.call(crops), expected)
    np.testing.assert_array_equal(exported.call(crops[:1]), expected[:1])  # any number of crops


def test_members_answer_one_after_the_other():
    crops = np.ones((2, *CUBE), np.int16)
    found = np.asarray(exported_model(lambda: rising, [2.0, 3.0], ALL, CUBE).call(crops))
    one, two = np.split(found, 2, axis=1)
    np.testing.assert_array_equal(3 * one, 2 * two)


@pytest.mark.parametrize(("shape", "copies"), [(CUBE, 5), (LONG, 6)])
def test_few_copies_of_the_network_serve_all_views(shape, copies):
    """Four of the 20 views at a time; slices of another shape, those of the second plane, apart."""
    traced = []
    exported_model(
        lambda: lambda factor, runs: traced.append(len(ALL)) or rising(factor, runs),
        *([1.0], ALL, shape),
    )
    assert len(traced) == copies * 2  # on CPUs and elsewhere


def test_networks_are_made_for_each_kind_of_device():
    """By `auto` in bfloat16 on accelerators and float32 on CPUs, each in its own forms."""
    config, seen = tiny_config(compute_dtype="auto"), []

    def make_slices():
        seen.append((devices.kind(), cpu_forms.on_cpu(), compute_dtype(config)))
        return rising

    exported = exported_model(make_slices, [1.0], ALL, CUBE)
    found = {kind: rest for kind, *rest in seen}
    assert found == {"cpu": [True, jnp.float32], "gpu": [False, jnp.bfloat16]}
    assert exported.platforms == PLATFORMS == ("cpu", "cuda", "tpu")
    assert devices.kind() == "cpu", "as before"
