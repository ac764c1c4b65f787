"""Resampling against a per-voxel twin, algebra and the grid's own coordinates."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from vfseg.data.resample import (
    linear_bands,
    nearest_index,
    resampled_affine,
    sample_linear,
    sample_nearest,
)


def naive_weight(u, step):
    """Average of the hat over a triangle of half-width sqrt(step^2 - 1), integrated exactly.

    The integrand is quadratic between its kinks, where Simpson's rule has no error.
    """
    width = np.sqrt(max(step**2 - 1, 0))
    if width < 1e-3:
        return max(0.0, 1 - abs(u))

    def integrand(t):
        return max(0.0, 1 - abs(u - t)) * max(0.0, 1 - abs(t) / width) / width

    kinks = sorted({-width, 0.0, width, *np.clip([u - 1, u, u + 1], -width, width).tolist()})
    return sum(
        (b - a) / 6 * (integrand(a) + 4 * integrand((a + b) / 2) + integrand(b))
        for a, b in itertools.pairwise(kinks)
    )


def naive_linear(array, origin, step, shape, fill):
    out = np.zeros(shape)
    for index in np.ndindex(*shape):
        x = [o + s * i for o, s, i in zip(origin, step, index)]
        axes = [
            [(j, naive_weight(j - c, s)) for j in range(int(c - s - 3), int(c + s + 4))]
            for c, s in zip(x, step)
        ]
        for (i, a), (j, b), (k, c) in itertools.product(*axes):
            if a * b * c > 0:
                inside = all(0 <= n < size for n, size in zip((i, j, k), array.shape))
                out[index] += a * b * c * (float(array[i, j, k]) if inside else fill)
    return out


class Watched:
    """An array that only knows slicing, and remembers what was asked for."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.asked = array, array.shape, array.dtype, []

    def __getitem__(self, key):
        self.asked.append(key)
        return self.array[key]


def noise(shape=(7, 6, 5), seed=0):
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)


@pytest.mark.parametrize(
    ("origin", "step", "shape"),
    [
        ((0.3, 1.7, 0.5), (0.5, 0.8, 0.33), (5, 4, 6)),
        ((1.0, 0.0, 2.0), (1.0, 1.0, 0.5), (4, 3, 4)),
        ((0.2, 1.0, -1.0), (1.7, 2.5, 1.2), (3, 2, 4)),
        ((-3.0, -2.4, 3.9), (1.0, 0.9, 3.1), (9, 6, 2)),
        ((-9.0, 0.0, 0.0), (1.0, 1.0, 1.0), (3, 3, 3)),
        ((-9.5, 0.0, 0.0), (1.0, 1.5, 1.0), (3, 3, 3)),
        ((2.0, 40.0, 0.0), (1.0, 1.5, 1.0), (3, 3, 3)),
    ],
)
def test_linear_equals_its_twin(origin, step, shape):
    array = noise()
    out = sample_linear(array, origin, step, shape, fill=-1024.0)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, naive_linear(array, origin, step, shape, -1024), atol=0.01)


def test_blocks_do_not_show():
    """200 output voxels along one axis (several blocks) are the same as one by one."""
    array = noise((300, 2, 2))
    out = sample_linear(array, (3.3, 0, 0), (1.3, 1, 1), (200, 2, 2), fill=0)
    for i in (0, 63, 64, 65, 127, 128, 199):
        one = sample_linear(array, (3.3 + 1.3 * i, 0, 0), (1.3, 1, 1), (1, 2, 2), fill=0)
        np.testing.assert_allclose(out[i], one[0], atol=1e-2)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_identity_is_exact(dtype):
    array = noise().astype(dtype)
    out = sample_linear(array, (0, 0, 0), (1, 1, 1), array.shape, fill=-1000)
    np.testing.assert_array_equal(out, array.astype(np.float32))
    # Steps that miss 1 by the rounding of an affine are still 1.
    out = sample_linear(array, (1 + 1e-7, 2, 0), (1 + 1e-7, 1, 1 - 1e-8), (5, 3, 5), fill=-1000)
    np.testing.assert_array_equal(out, array[1:6, 2:5].astype(np.float32))


def test_integer_shift_pads_with_fill():
    array = noise((4, 5, 6))
    expected = np.full((8, 9, 10), -1024, np.float32)
    expected[2:6, 2:7, 2:8] = array
    for sample in (sample_linear, sample_nearest):
        out = sample(array, (-2, -2, -2), (1, 1, 1), (8, 9, 10), fill=-1024)
        np.testing.assert_array_equal(out, expected)


@given(
    origin=st.tuples(*[st.floats(6, 9)] * 3),
    step=st.tuples(*[st.floats(0.2, 3.5)] * 3),
    slope=st.tuples(*[st.floats(-50, 50)] * 3),
)
@settings(max_examples=50, deadline=None)
def test_linear_ramps_are_exact_inside(origin, step, slope):
    """Also with antialiasing: the weights keep sum and first moment."""
    source = np.add.outer(
        np.add.outer(slope[0] * np.arange(32), slope[1] * np.arange(32)), slope[2] * np.arange(32)
    ).astype(np.float32)
    out = sample_linear(source, origin, step, (5, 5, 5), fill=0)
    i, j, k = np.indices(out.shape)
    expected = sum(
        a * (o + s * n) for a, o, s, n in zip(slope, origin, step, (i, j, k), strict=True)
    )
    np.testing.assert_allclose(out, expected, atol=0.02)


def test_constant_everywhere():
    """Where source and fill agree, nothing shows where the source ends."""
    array = np.full((6, 6, 6), 70, np.int16)
    out = sample_linear(array, (-4.2, -3, 2), (1.4, 0.7, 2.2), (12, 12, 12), fill=70)
    np.testing.assert_allclose(out, 70, atol=1e-4)


def test_antialiasing_removes_what_the_grid_cannot_hold():
    """Stripes of one voxel sampled at every second voxel go to their mean, not to an extreme."""
    line = np.where(np.arange(40) % 2, 1000, 0).astype(np.int16)
    array = np.broadcast_to(line[:, None, None], (40, 3, 3))
    out = sample_linear(array, (8, 1, 1), (2, 1, 1), (10, 1, 1), fill=0)
    assert np.abs(out - 500).max() < 30
    assert sample_nearest(array, (8, 1, 1), (2, 1, 1), (10, 1, 1)).max() == 0


def test_a_point_lands_where_algebra_says():
    """The centroid of a small ball keeps its world position through a crop with its own affine."""
    affine = np.array([[0, 0, 0.7, -90], [0, 0.7, 0.1, 12], [2.5, 0, 0, 400], [0, 0, 0, 1.0]])
    centre = np.array([12.0, 30.0, 33.0])
    grid = np.indices((24, 60, 64))
    ball = np.exp(
        -sum(((g - c) / w) ** 2 for g, c, w in zip(grid, centre, (1.5, 4, 4))).astype(np.float32)
    )
    origin, step = np.array([6.4, 12.2, 9.1]), np.array([0.5, 1.25 / 0.7, 1.25 / 0.7])
    out = sample_linear(ball, origin, step, (24, 24, 30), fill=0)
    found = [np.sum(out * g) / np.sum(out) for g in np.indices(out.shape)]
    np.testing.assert_allclose(found, (centre - origin) / step, atol=0.02)
    world = apply_affine(resampled_affine(affine, origin, step), found)
    np.testing.assert_allclose(world, apply_affine(affine, centre), atol=0.03)


def test_resampled_affine_of_a_crop():
    """Corner and diagonal of the crop: T(start * step) then S(step), in the axes of the CT."""
    affine = np.array([[0, 0, -0.8, 5], [0, 0.8, 0, 6], [1.5, 0, 0, 7], [0, 0, 0, 1.0]])
    step = 1.2 / np.array([1.5, 0.8, 0.8])
    crop = resampled_affine(affine, np.array([10, -4, 3]) * step, step)
    # 10, -4, 3 steps of 1.2 mm along superior, anterior, left.
    np.testing.assert_allclose(crop[:3, 3], [5 - 3 * 1.2, 6 - 4 * 1.2, 7 + 10 * 1.2])
    np.testing.assert_allclose(np.linalg.norm(crop[:3, :3], axis=0), 1.2)


@given(
    origin=st.tuples(*[st.floats(-4, 8)] * 3),
    step=st.tuples(*[st.floats(0.1, 3)] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
)
@settings(max_examples=100, deadline=None)
def test_nearest_equals_its_twin(origin, step, shape):
    array = np.arange(1, 6 * 5 * 4 + 1, dtype=np.uint8).reshape(6, 5, 4)
    out = sample_nearest(array, origin, step, shape, fill=200)
    assert out.dtype == np.uint8
    for index in np.ndindex(*shape):
        x = [o + s * i for o, s, i in zip(origin, step, index)]
        if any(abs(c % 1 - 0.5) < 1e-3 for c in x):
            continue  # halves have a test of their own
        near = tuple(round(c) for c in x)
        inside = all(0 <= n < size for n, size in zip(near, array.shape))
        assert out[index] == (array[near] if inside else 200)


def test_nearest_halves_go_up():
    array = np.arange(6, dtype=np.uint16).reshape(6, 1, 1)
    out = sample_nearest(array, (0.5, 0, 0), (1, 1, 1), (5, 1, 1))
    assert out.ravel().tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("sample", [sample_linear, sample_nearest])
def test_touches_only_what_it_needs(sample):
    source = Watched(noise((50, 50, 50)))
    out = sample(source, (10.2, 20, 30), (1.5, 1, 0.5), (8, 8, 8), fill=0)
    (key,) = source.asked
    # Coordinates end at 10.2 + 10.5, 27 and 33.5; a kernel reaches at most 1 + sqrt(1.5^2 - 1).
    for part, low, high in zip(key, (10.2, 20, 30), (20.7, 27, 33.5)):
        assert part.start >= low - 2.2
        assert part.stop - 1 <= high + 2.2
    np.testing.assert_array_equal(
        out, sample(source.array, (10.2, 20, 30), (1.5, 1, 0.5), (8, 8, 8), fill=0)
    )


@pytest.mark.parametrize("sample", [sample_linear, sample_nearest])
def test_wholly_outside(sample):
    source = Watched(noise())
    out = sample(source, (100, 0, 0), (1.5, 1, 1), (4, 4, 4), fill=7)
    assert (out == 7).all()
    assert source.asked == []


@pytest.mark.parametrize("step", [0, -1])
def test_impossible_steps(step):
    with pytest.raises(ValueError, match="step"):
        sample_linear(noise(), (0, 0, 0), (step, 1, 1), (2, 2, 2), fill=0)


def test_a_crop_of_a_large_volume_costs_no_more_than_its_part():
    """60 mm at 1.25 mm from slices 0.5 mm apart; the whole volume would take 824 MB as int16."""
    large = Watched(np.broadcast_to(np.int16(40), (1571, 512, 512)))
    step = 1.25 / np.array([0.5, 0.7, 0.7])
    tracemalloc.start()
    out = sample_linear(large, (700.3, 200.2, 200.1), step, (48, 48, 48), fill=-1024)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(out, 40, atol=1e-3)
    (key,) = large.asked
    voxels = math.prod(part.stop - part.start for part in key)
    assert voxels < math.prod(48 * step + 8)
    assert peak < 4 * voxels * np.dtype(np.float32).itemsize


@settings(max_examples=60, deadline=None)
@given(
    origin=st.floats(-20, 30),
    step=st.one_of(st.floats(0.2, 5.0), st.sampled_from([1.0, 1.00000001])),
    count=st.integers(1, 40),
    size=st.integers(1, 30),
    block=st.sampled_from([4, 16]),
)
def test_bands_are_the_weights_of_linear_sampling(origin, step, count, size, block):
    signal = np.random.default_rng(0).random((size, 1, 1)).astype(np.float32)
    wanted = sample_linear(signal, (origin, 0, 0), (step, 1, 1), (count, 1, 1), fill=0.0)
    first, weights = linear_bands(origin, step, count, size, block)
    window = weights.shape[2]
    assert ((first >= 0) & (first + window <= size)).all()
    blocks = [w @ signal[f : f + window, 0, 0] for f, w in zip(first, weights)]
    found = np.concatenate(blocks)
    assert len(found) == -(-count // block) * block
    np.testing.assert_allclose(found[:count], wanted[:, 0, 0], atol=1e-6)
    assert not found[count:].any()


def test_bands_of_a_step_have_one_shape():
    """Wherever they begin: so that one program serves all slabs of a CT."""
    for step in (0.56, 1.0, 1.7):
        shapes = {linear_bands(x, step, 60, 500).weights.shape for x in (0, 3.3, 77.7, 400)}
        assert len(shapes) == 1


def test_the_nearest_index_is_where_nearest_sampling_looks():
    index = nearest_index(0.2, 0.4, 9)
    found = sample_nearest(np.arange(30).reshape(30, 1, 1), (0.2, 0, 0), (0.4, 1, 1), (9, 1, 1))
    assert index.tolist() == found[:, 0, 0].tolist()
