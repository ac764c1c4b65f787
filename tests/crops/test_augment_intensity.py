"""Augmentation of intensities against algebra, against SciPy, and by its statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tests.crops.augmenting import SPACING, compiled, only, random_batch
from vfseg.crops import augment as module
from vfseg.crops.resolution import (
    blur_matrix,
    low_resolution_matrix,
    sharpened,
    thickness_matrix,
)


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
    matrix = np.asarray(blur_matrix(40, sigma))
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
    found = np.asarray(low_resolution_matrix(size, factor)) @ signal
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_blur_and_low_resolution_at_no_strength():
    np.testing.assert_array_equal(blur_matrix(9, 0.0), np.eye(9))
    np.testing.assert_allclose(low_resolution_matrix(9, 1.0), np.eye(9), atol=1e-6)


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


@pytest.mark.parametrize("width", [1.0, 2.0, 3.0, 4.5])
def test_thickness_matrix_is_the_mean_over_a_window(width):
    size, fine = 31, 40
    signal = np.random.default_rng(0).normal(size=size)
    parts = np.repeat(signal, fine)  # each pixel in so many parts
    half = round(width * fine / 2)
    expected = [
        parts[max(0, centre - half) : centre + half].mean()
        for centre in (np.arange(size) * fine + fine // 2)
    ]
    found = np.asarray(thickness_matrix(size, width)) @ signal
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_width_below_one_pixel_changes_nothing():
    np.testing.assert_array_equal(thickness_matrix(9, 0.3), np.eye(9))


def test_thickness_averages_along_one_axis_of_the_three():
    """Stripes along an axis survive every average but the one across them."""
    b, size = 48, 12
    stripes = 100 * (-1.0) ** np.arange(size, dtype=np.float32)
    across = [stripes.reshape([-1 if a == axis else 1 for a in range(3)]) for axis in range(3)]
    whole = (b, size, size, size)
    lost = []
    for part in across:
        ct = np.broadcast_to(part, whole)
        out, _ = compiled(only(thickness=5.0))(jax.random.key(4), ct, np.zeros_like(ct))
        change = np.abs(np.asarray(out) - ct).max(axis=(1, 2, 3))
        lost.append(change > 1e-3)
    assert (np.sum(lost, axis=0) <= 1).all()
    # Widths below one pixel  do nothing, so three quarters of the samples change.
    assert np.sum(lost) == pytest.approx(0.75 * b, abs=4 * np.sqrt(b * 0.75 * 0.25))
    assert min(np.sum(lost, axis=1)) > 0


def test_sharpening_leaves_what_is_flat_and_steepens_an_edge():
    edge = np.broadcast_to(np.where(np.arange(24) < 12, 0, 100), (1, 24, 24))
    soft = scipy.ndimage.gaussian_filter(edge.astype(np.float32), (0, 0, 1.0))
    for strength, steeper in ((0.8, True), (-0.4, False)):
        out = np.asarray(sharpened(jnp.asarray(soft), strength, 1.0))
        np.testing.assert_allclose(out[..., :6], 0, atol=0.01)
        np.testing.assert_allclose(out[..., -6:], 100, atol=0.01)
        rise = np.diff(out[0, 12]).max()
        assert (rise > np.diff(soft[0, 12]).max()) == steeper
    np.testing.assert_array_equal(sharpened(jnp.asarray(soft), 0.0, 1.0), soft)


def test_sharpness_is_one_number_a_sample_in_its_range():
    image = np.zeros((64, 1, 16, 16), np.float32)
    image[:, :, 8, 8] = 100.0
    out, _ = compiled(only(sharpness=1.0))(jax.random.key(0), image, np.zeros_like(image))
    blurred = np.asarray(sharpened(jnp.asarray(image[0]), -1.0, module.KERNEL_MM / SPACING))
    strength = (np.asarray(out)[:, 0, 8, 8] - 100) / (100 - blurred[0, 8, 8])
    assert -0.5001 < strength.min() < -0.3
    assert 0.8 < strength.max() < 1.0001


def test_what_is_drawn_apart_leaves_the_other_numbers_as_they_were():
    ct, target = random_batch()
    key = jax.random.key(7)
    before, _ = compiled(only(hu_shift=30.0, gamma=0.2))(key, ct, target)
    # Thinner than a pixel, and a kernel that changes nothing to speak of: drawn, but not seen.
    apart = only(hu_shift=30.0, gamma=0.2, thickness=1.0, sharpness=1e-9)
    after, _ = compiled(apart)(key, ct, target)
    np.testing.assert_allclose(after, before, atol=1e-3)
