"""Augmentation in space against algebra, against SciPy's slow twins, and by its statistics."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tests.crops.augmenting import ALL, OFF, SPACING, SPATIAL, compiled, only, random_batch
from vfseg.crops import augment as module
from vfseg.data.settings import PLANE_AXES

coordinates_of = jax.jit(module.source_coordinates, static_argnums=0)
warp = jax.jit(module.warp)


def blob(shape, centre, sigma=2.0):
    """Gaussian of height 1 at `centre` (pixels along h, w), `h w`."""
    h, w = np.indices(shape)
    squared = (h - centre[0]) ** 2 + (w - centre[1]) ** 2
    return np.exp(-squared / (2 * sigma**2)).astype(np.float32)


def centroids(images):
    """Centre of mass along h, w of images `... h w`: `... 2`."""
    images = np.asarray(images, np.float64)
    mass = images.sum((-2, -1))
    h, w = np.indices(images.shape[-2:])
    return np.stack([(images * h).sum((-2, -1)), (images * w).sum((-2, -1))], -1) / mass[..., None]


@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(0.0, 1.0, (3.0, -2.5)), (np.pi / 2, 1.0, (0, 0)), (0.4, 1.0, (0, 0)), (-0.3, 1.3, (1.5, 2))],
)
def test_a_point_lands_where_algebra_says(angle, scale, shift):
    shape, point = (41, 51), np.array([14.0, 30.0])
    coordinates = coordinates_of(shape, angle, scale, shift)
    image = jnp.asarray(blob(shape, point))[None]
    moved, _ = warp(image, image[:0], coordinates)

    centre = (np.array(shape) - 1) / 2
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = centre + scale * rotation @ (point - centre) + shift
    np.testing.assert_allclose(centroids(moved)[0], expected, atol=0.02)


def test_a_quarter_turn_takes_h_to_w():
    image = np.zeros((1, 5, 5), np.float32)
    image[0, 4, 2] = 1  # +h of the centre
    coordinates = coordinates_of((5, 5), angle=np.pi / 2)
    moved, mask = warp(image, image, coordinates)
    assert np.unravel_index(np.argmax(moved[0]), (5, 5)) == (2, 4)  # +w of the centre
    assert np.argwhere(mask[0]).tolist() == [[2, 4]]


def test_whole_pixel_shift_is_a_copy_with_edges_repeated_and_masks_empty_outside():
    ct, target = (x[0] for x in random_batch())
    coordinates = coordinates_of(ct.shape[1:], shift=(2, -3))
    moved, mask = warp(ct, target, coordinates)
    np.testing.assert_array_equal(moved[:, 2:, :-3], ct[:, :-2, 3:])
    np.testing.assert_array_equal(mask[:, 2:, :-3], target[:, :-2, 3:])
    np.testing.assert_array_equal(moved[:, :2, :-3], np.repeat(ct[:, :1, 3:], 2, axis=1))
    np.testing.assert_array_equal(moved[:, 2:, -3:], np.repeat(ct[:, :-2, -1:], 3, axis=2))
    assert not mask[:, :2].any()
    assert not mask[:, :, -3:].any()


def test_warp_agrees_with_scipy():
    ct, target = (x[0] for x in random_batch())
    rng = np.random.default_rng(0)
    coordinates = np.indices(ct.shape[1:]) + rng.uniform(-6, 6, (2, *ct.shape[1:]))
    coordinates = coordinates.astype(np.float32)
    moved, mask = warp(ct, target, jnp.asarray(coordinates))
    twin = functools.partial(
        scipy.ndimage.map_coordinates, coordinates=coordinates, order=1, mode="nearest"
    )
    np.testing.assert_allclose(moved, [twin(x) for x in ct], atol=0.01)  # HU
    limits = np.array(ct.shape[1:]).reshape(2, 1, 1) - 0.5
    inside = ((coordinates >= -0.5) & (coordinates <= limits)).all(axis=0)
    soft = np.stack([twin(x) for x in target])
    clear = np.abs(soft - 0.5) > 1e-4
    np.testing.assert_array_equal(np.asarray(mask)[clear], ((soft >= 0.5) & inside)[clear])


@pytest.mark.parametrize("plane", PLANE_AXES)
def test_a_flipped_run_is_the_run_of_the_patient_seen_in_a_mirror(plane):
    """Mirrored are volumes `d h w`, along right, and runs are cut where the mirror puts them."""
    b, size, r, k, first = 16, 9, 6, 2, 1  # slices 1 to 6 of 9
    axis, right = PLANE_AXES[plane], 2
    volumes = np.random.default_rng(0).normal(size=(b, size, size, size)).astype(np.float32)

    def cut(volumes, first):
        run = np.moveaxis(volumes, axis + 1, 1)[:, first : first + r]
        return run, (run[:, (r - k) // 2 : (r + k) // 2] > 0.5).astype(np.float32)

    run = cut(volumes, first)
    mirrored_first = size - (first + r) if axis == right else first
    mirrored = cut(np.flip(volumes, right + 1), mirrored_first)
    planes = np.full(b, axis)
    out, mask = map(
        np.asarray, compiled(only(left_right_flip=0.5))(jax.random.key(1), *run, planes)
    )
    flipped = (out != run[0]).any(axis=(1, 2, 3))
    assert 2 <= flipped.sum() <= 14  # of 16 at probability 0.5: else a chance of 0.0005
    for found, plain, expected in zip((out, mask), run, mirrored):
        np.testing.assert_array_equal(found[~flipped], plain[~flipped])
        np.testing.assert_array_equal(found[flipped], expected[flipped])


def test_a_batch_of_mixed_planes_is_each_sample_in_its_own_plane():
    ct, target = random_batch(b=12, h=20, w=20)
    mixed = np.arange(12) % 3
    key, run = jax.random.key(5), compiled(ALL)
    found = run(key, ct, target, mixed)
    alone = [run(key, ct, target, np.full(12, plane)) for plane in range(3)]
    for part, parts in zip(found, zip(*alone)):
        np.testing.assert_array_equal(part, np.stack(parts)[mixed, np.arange(12)])
    differ = [np.asarray(alone[0][0][i] != alone[2][0][i]).any() for i in range(12)]
    assert any(differ), "the plane matters to the samples that are flipped"
    assert not all(differ), "and to no others"


def test_all_slices_and_masks_move_together():
    b, r, k, shape = 4, 6, 4, (40, 40)
    image = blob(shape, (17, 22))
    ct = jnp.broadcast_to(image, (b, r, *shape))
    target = jnp.broadcast_to((image > 0.5).astype(jnp.float32), (b, k, *shape))
    settings = dataclasses.replace(OFF, **{name: getattr(ALL, name) for name in SPATIAL})
    out, mask = compiled(settings)(jax.random.key(2), ct, target)
    assert (out == out[:, :1]).all()
    assert (mask == mask[:, :1]).all()
    np.testing.assert_allclose(
        centroids(mask), np.repeat(centroids(out)[:, :1], k, axis=1), atol=0.3
    )
    moved = np.linalg.norm(centroids(out)[:, 0] - (17, 22), axis=-1)
    assert (moved > 0.2).all()


def test_translation_is_uniform_in_mm():
    b, shape, limit = 200, (32, 32), 4.0
    ct = jnp.broadcast_to(blob(shape, (15, 16)), (b, 1, *shape))
    out, _ = compiled(only(translation=limit))(jax.random.key(0), ct, ct)
    moved = (centroids(out)[:, 0] - (15, 16)) * SPACING
    assert np.abs(moved).max() <= limit + 0.05
    assert np.abs(moved).max() > 0.9 * limit
    # Uniform: mean 0, deviation limit / sqrt(3); five standard errors of 400 numbers.
    assert abs(moved.mean()) < 5 * limit / np.sqrt(3 * 400)
    assert moved.std() == pytest.approx(limit / np.sqrt(3), rel=0.15)


def test_rotation_and_scaling_are_drawn_within_their_range():
    b, shape, point = 200, (48, 48), np.array([23.5, 35.5])  # 12 pixels from the centre along w
    ct = jnp.broadcast_to(blob(shape, point), (b, 1, *shape))
    out, _ = compiled(only(rotation=30.0, scaling=0.2))(jax.random.key(0), ct, ct)
    h, w = (centroids(out)[:, 0] - 23.5).T
    angle, scale = np.degrees(np.arctan2(-h, w)), np.hypot(h, w) / 12
    assert 27 < angle.max() < 30.3
    assert -30.3 < angle.min() < -27
    assert angle.std() == pytest.approx(30 / np.sqrt(3), rel=0.15)
    assert 1.17 < scale.max() < 1.21
    assert 1 / 1.21 < scale.min() < 1 / 1.17
    assert np.log(scale).std() == pytest.approx(np.log(1.2) / np.sqrt(3), rel=0.15)
    assert abs(np.corrcoef(angle, scale)[0, 1]) < 0.3


def test_elastic_basis_reproduces_linear_functions():
    size, spacing = 30, 7.0
    basis = module.elastic_basis(size, spacing)
    control = (np.arange(basis.shape[1]) - 1) * spacing
    np.testing.assert_allclose(basis.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(basis @ control, np.arange(size), atol=1e-5)


def test_elastic_displacement_is_bounded_smooth_and_never_folds():
    b, shape, limit = 60, (48, 40), 7.0
    # A ramp shows where each pixel came from: inside the field, HU is the source coordinate in mm.
    ramps = np.indices(shape).astype(np.float32) * SPACING
    ct = jnp.broadcast_to(ramps, (b, 2, *shape))
    out, _ = compiled(only(elastic=limit))(jax.random.key(0), ct, ct)
    margin = int(np.ceil(limit / SPACING))
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    source = np.asarray(out, np.float64)[inner]
    displacement = source - ramps[inner]
    assert 0.4 * limit < np.abs(displacement).max() <= limit
    assert displacement.std() == pytest.approx(0.28 * limit, rel=0.1)
    along_h, along_w = np.gradient(source, SPACING, axis=(2, 3))
    jacobian = along_h[:, 0] * along_w[:, 1] - along_h[:, 1] * along_w[:, 0]
    assert jacobian.min() > 0


def test_sheets_of_two_pixels_keep_their_area():
    b, shape, rng = 128, (48, 48), np.random.default_rng(0)
    h, w = np.indices(shape) - 23.5
    angle = rng.uniform(0, np.pi, (b, 1, 1))
    distance = h * np.cos(angle) + w * np.sin(angle) - rng.uniform(-1, 1, (b, 1, 1))
    sheets = ((np.abs(distance) < 1) & (np.hypot(h, w) < 12)).astype(np.float32)
    target = sheets[:, None]
    _, mask = compiled(only(rotation=30.0, scaling=0.2))(jax.random.key(0), target, target)
    ratio = np.asarray(mask).sum((1, 2, 3)) / sheets.sum((1, 2))
    # The area goes with the scale squared, whose logarithm has mean 0; five standard errors are
    # 5 * 2 * log(1.2) / sqrt(3 * b) = 0.09.
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.1)
    # Turned without scaling, nearly every single sheet keeps it.
    angles = np.linspace(-np.pi / 4, np.pi / 4, b, dtype=np.float32)
    coordinates = jax.vmap(functools.partial(coordinates_of, shape))(angles)
    _, turned = jax.jit(jax.vmap(module.warp))(target, target, coordinates)
    ratio = np.asarray(turned).sum((1, 2, 3)) / sheets.sum((1, 2))
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert np.percentile(np.abs(ratio - 1), 90) < 0.1
