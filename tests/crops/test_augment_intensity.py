"""Augmentation of intensities against algebra, against SciPy, and by its statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tests.crops.augmenting import compiled, only
from vfseg.crops import augment as module


def constant(value, b=64, r=2, size=32):
    return jnp.full((b, r, size, size), value, jnp.float32), jnp.zeros((b, r, size, size))


def test_noise_is_white_gaussian_of_the_drawn_deviation():
    ct, target = constant(100.0)
    out, _ = compiled(only(noise=40.0))(jax.random.key(0), ct, target)
    noise = np.asarray(out, np.float64) - 100
    deviation = noise.std(axis=(1, 2, 3))
    assert deviation.max() < 41
    assert deviation.mean() == pytest.approx(20, rel=0.25)  # uniform in 0..40, 64 samples
    assert deviation.std() == pytest.approx(40 / np.sqrt(12), rel=0.25)
    unit = noise / deviation[:, None, None, None]
    assert abs(unit.mean()) < 5 / np.sqrt(unit.size)
    assert (unit**4).mean() == pytest.approx(3, abs=0.1)  # kurtosis of a normal
    assert abs((unit[..., 1:] * unit[..., :-1]).mean()) < 0.02
    assert abs((unit[:, 0] * unit[:, 1]).mean()) < 0.02


def test_hu_shift_is_one_uniform_number_a_sample():
    ct, target = constant(100.0)
    out, _ = compiled(only(hu_shift=30.0))(jax.random.key(0), ct, target)
    shift = np.asarray(out) - 100
    assert (shift == shift[:, :1, :1, :1]).all()
    assert np.abs(shift).max() <= 30
    assert shift.std() == pytest.approx(30 / np.sqrt(3), rel=0.25)


def test_contrast_and_gamma_leave_water_alone_and_range_as_stated():
    ct, target = constant(900.0)
    ct = ct.at[:, :, 0].set(0.0)
    out, _ = compiled(only(contrast=0.2))(jax.random.key(0), ct, target)
    assert (out[:, :, 0] == 0).all()
    factor = np.asarray(out)[:, 0, 1, 0] / 900
    assert 1 / 1.2001 < factor.min() < 0.9 < 1.1 < factor.max() < 1.2001

    out, _ = compiled(only(gamma=0.2))(jax.random.key(0), ct, target)
    assert (out[:, :, 0] == 0).all()
    exponent = np.log(np.asarray(out)[:, 0, 1, 0] / 1800) / np.log(0.5)
    assert 1 / 1.2001 < exponent.min() < 0.9 < 1.1 < exponent.max() < 1.2001


def test_gamma_is_monotone_and_continuous_and_keeps_the_ends():
    hu = np.linspace(-1000, 3000, 4001, dtype=np.float32)
    for exponent in (0.5, 2.0):
        out = np.asarray(module.apply_gamma(jnp.asarray(hu), exponent))
        outside = (hu <= 0) | (hu >= 1800)
        np.testing.assert_array_equal(out[outside], hu[outside])
        inside = ~outside
        np.testing.assert_allclose(out[inside], 1800 * (hu[inside] / 1800) ** exponent, rtol=1e-5)
        assert (np.diff(out) > 0).all()


@pytest.mark.parametrize("sigma", [0.6, 1.5])
def test_blur_matrix_agrees_with_scipy_away_from_the_edge(sigma):
    image = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    matrix = np.asarray(module.blur_matrix(40, sigma))
    found = matrix @ image @ matrix.T
    expected = scipy.ndimage.gaussian_filter(image, sigma, truncate=6)
    np.testing.assert_allclose(found[9:-9, 9:-9], expected[9:-9, 9:-9], atol=1e-5)


@pytest.mark.parametrize(("size", "factor"), [(48, 2.0), (48, 1.5), (21, 3.0), (20, 3.0)])
def test_low_resolution_matrix_is_pooling_then_linear_interpolation(size, factor):
    signal = np.random.default_rng(0).normal(size=size)
    fine = np.repeat(signal, 2)  # halves of pixels, so that cells of 1.5 pixels can be averaged
    width = int(2 * factor)
    cells = [fine[start : start + width].mean() for start in range(0, 2 * size, width)]
    centres = (np.arange(len(cells)) + 0.5) * factor - 0.5
    expected = np.interp(np.arange(size), centres, cells)
    found = np.asarray(module.low_resolution_matrix(size, factor)) @ signal
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_blur_and_low_resolution_at_no_strength():
    np.testing.assert_array_equal(module.blur_matrix(9, 0.0), np.eye(9))
    np.testing.assert_allclose(module.low_resolution_matrix(9, 1.0), np.eye(9), atol=1e-6)


@pytest.mark.parametrize("names", [("blur",), ("low_resolution",), ("blur", "low_resolution")])
def test_blur_and_low_resolution_smooth_within_the_plane_only(names):
    b, size = 8, 24
    texture = np.random.default_rng(0).normal(0, 100, (size, size)).astype(np.float32)
    flat = np.full((size, size), 700.0, np.float32)
    ct = np.broadcast_to(np.stack([flat, texture, flat]), (b, 3, size, size))
    out, _ = compiled(only(**dict.fromkeys(names, 2.0)))(jax.random.key(2), ct, ct[:, :1])
    out = np.asarray(out)
    np.testing.assert_allclose(out[:, [0, 2]], 700, atol=0.01)
    roughness = out[:, 1].std(axis=(1, 2))
    # A draw near no strength leaves the texture as it is, to rounding; none makes it rougher.
    assert (roughness <= texture.std() * (1 + 1e-5)).all()
    assert (roughness < 0.9 * texture.std()).sum() >= b // 2
    assert len(set(roughness.tolist())) == b
