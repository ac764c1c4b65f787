"""Augmentation against algebra, against SciPy's slow twins, and by its statistics."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.sharding import NamedSharding, PartitionSpec

from vfseg.crops import augment as module
from vfseg.crops.augment import AugmentSettings, augment
from vfseg.data.geometry import PLANE_AXES
from vfseg.errors import UserError

SPACING = 1.25
OFF = AugmentSettings()
ALL = AugmentSettings(
    rotation=15,
    scaling=0.15,
    translation=4,
    elastic=2,
    left_right_flip=0.5,
    gamma=0.2,
    contrast=0.2,
    noise=30,
    blur=0.8,
    low_resolution=0.7,
    hu_shift=30,
)
SPATIAL = ["rotation", "scaling", "translation", "elastic"]


@functools.cache
def compiled(settings, spacing=SPACING):
    """Augmentation of a batch, of sagittal runs unless told."""

    @jax.jit
    def run(key, ct, target, planes=None):
        keys = jax.random.split(key, len(ct))
        planes = jnp.full(len(ct), PLANE_AXES["sagittal"]) if planes is None else planes
        return augment(keys, ct, target, planes, settings, voxel_spacing=spacing)

    return run


coordinates_of = jax.jit(module.source_coordinates, static_argnums=0)
warp = jax.jit(module.warp)


def only(**strengths):
    return dataclasses.replace(OFF, **strengths)


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


def random_batch(seed=0, b=4, r=6, k=2, h=20, w=24):
    rng = np.random.default_rng(seed)
    ct = rng.normal(100, 300, (b, r, h, w)).astype(np.float32)
    target = (rng.random((b, k, h, w)) > 0.8).astype(np.float32)
    return ct, target


# Identity and structure


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
    no_products = dataclasses.replace(ALL, elastic=0.0, blur=0.0, low_resolution=0.0)
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


# Geometry


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


# Intensity


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
    image = np.random.default_rng(0).normal(size=(1, 40, 40)).astype(np.float32)
    matrix = module.blur_matrix(40, sigma)
    found = module._separable(matrix, jnp.asarray(image), matrix)[0]
    expected = scipy.ndimage.gaussian_filter(image[0], sigma, truncate=6)
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


# Settings


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
    with pytest.raises(UserError, match=rf"config\.augment\.{name} is {value}"):
        only(**{name: value})
