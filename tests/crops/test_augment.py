"""Augmentation as a whole: what it leaves alone, what its draws depend on, how it compiles."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from tests.crops.augmenting import ALL, OFF, SPACING, SPATIAL, compiled, only, random_batch
from vfseg.crops.augment import augment
from vfseg.data.settings import PLANE_AXES
from vfseg.errors import UserError


def test_zero_strength_is_the_identity_bit_for_bit():
    ct, target = random_batch()
    out, mask = compiled(OFF)(jax.random.key(0), ct, target)
    assert np.array_equal(out, ct)
    assert np.array_equal(mask, target)


def test_a_part_that_is_off_is_not_in_the_program():
    ct, target = random_batch()

    def program(settings):
        return compiled(settings).lower(jax.random.key(0), ct, target).as_text()

    no_spatial = dataclasses.replace(ALL, **dict.fromkeys(SPATIAL, 0.0))
    products = ("elastic", "blur", "low_resolution", "thickness", "sharpness")
    no_products = dataclasses.replace(ALL, **dict.fromkeys(products, 0.0))
    assert "gather" in program(ALL)
    assert "dot_general" in program(ALL)
    assert "gather" not in program(no_spatial)
    assert "dot_general" not in program(no_products)
    assert "erf_inv" in program(only(noise=1.0))
    assert "erf_inv" not in program(dataclasses.replace(ALL, noise=0.0))
    for operation in ("threefry", "multiply", "select"):
        assert operation not in program(OFF)


def test_intensity_leaves_masks_alone():
    ct, target = random_batch()
    settings = dataclasses.replace(ALL, left_right_flip=0.0, **dict.fromkeys(SPATIAL, 0.0))
    out, mask = compiled(settings)(jax.random.key(1), ct, target)
    assert not (out == ct).any(axis=(1, 2, 3)).all()
    assert np.array_equal(mask, target)


def test_dtypes_shapes_and_values():
    ct, target = random_batch()
    out, mask = compiled(ALL)(jax.random.key(0), ct, target)
    assert (out.dtype, out.shape) == (jnp.float32, ct.shape)
    assert (mask.dtype, mask.shape) == (jnp.float32, target.shape)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert np.isfinite(out).all()


def test_draws_depend_on_key_and_place_in_the_batch_only():
    ct, target = (np.repeat(x[:1], 4, axis=0) for x in random_batch())
    first, first_mask = compiled(ALL)(jax.random.key(3), ct, target)
    again, again_mask = compiled(ALL)(jax.random.key(3), ct, target)
    other, other_mask = compiled(ALL)(jax.random.key(4), ct, target)
    assert np.array_equal(first, again)
    assert np.array_equal(first_mask, again_mask)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first_mask, other_mask)
    for i in range(4):
        for j in range(i):
            assert not np.array_equal(first[i], first[j])
            assert not np.array_equal(first_mask[i], first_mask[j])


def test_compiles_once_for_equal_settings():
    traces = []

    @functools.partial(jax.jit, static_argnames="settings")
    def step(key, ct, target, settings):
        traces.append(settings)
        keys = jax.random.split(key, len(ct))
        planes = jnp.full(len(ct), PLANE_AXES["axial"])
        return augment(keys, ct, target, planes, settings, voxel_spacing=SPACING)

    for seed in range(3):
        step(jax.random.key(seed), *random_batch(seed), only(hu_shift=20.0))
    assert len(traces) == 1


def test_a_batch_split_over_devices_needs_no_communication_and_gives_the_same():
    batch = (*random_batch(), np.array([0, 1, 2, 2]))
    devices = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = NamedSharding(devices, PartitionSpec("data"))
    inputs = jax.random.key(0), *jax.device_put(batch, split)
    step = jax.jit(compiled(ALL), out_shardings=split).lower(*inputs).compile()
    for operation in ("all-gather", "all-reduce", "collective-permute", "all-to-all"):
        assert operation not in step.as_text()
    for found, expected in zip(step(*inputs), compiled(ALL)(jax.random.key(0), *batch)):
        np.testing.assert_allclose(found, expected, atol=0.01)  # HU


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation", -1.0),
        ("noise", float("nan")),
        ("scaling", float("inf")),
        ("left_right_flip", 1.5),
        ("elastic", 8.0),
    ],
)
def test_impossible_strengths_are_named(name, value):
    with pytest.raises(UserError, match=rf"config\.augment\.{name}={value}: expected"):
        only(**{name: value})
