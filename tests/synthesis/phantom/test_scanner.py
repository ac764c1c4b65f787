"""The scanner: grids, noise, thick slices, spacings, its filter."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import THREE
from vfseg.synthesis.phantom import FractureSpec
from vfseg.synthesis.phantom.scanner import average_labels, filter_axis, rotation_about


def test_an_oblique_grid_turns_the_world_and_not_the_patient():
    settings = {"levels": ("L2", "L3"), "levels_per_case": (2, 2), "voxel_spacing": 2.0}
    straight = make_case(3, settings)
    oblique = make_case(3, {**settings, "oblique_degrees": 20.0})
    np.testing.assert_array_equal(straight.ct.array, oblique.ct.array)
    turn = oblique.ct.affine[:3, :3] @ np.linalg.inv(straight.ct.affine[:3, :3])
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-5)
    angle = np.degrees(np.arccos((np.trace(turn) - 1) / 2))
    assert 1 < angle <= 20


def test_rotation_about_an_axis_equals_scipys():
    rng = np.random.default_rng(0)
    for angle in np.radians([-170, -15, 0, 3, 90]):
        axis = rng.standard_normal(3)
        axis /= np.linalg.norm(axis)
        slow = Rotation.from_rotvec(angle * axis).as_matrix()
        np.testing.assert_allclose(rotation_about(axis, angle), slow, atol=1e-12)


def test_noise_has_the_asked_spread():
    settings = {"levels": ("L2", "L2"), "levels_per_case": (1, 1), "voxel_spacing": 1.5}
    clean = make_case(1, {**settings, "noise_sd": (0, 0)}).ct.array.astype(float)
    noisy = make_case(1, {**settings, "noise_sd": (0, 60)})
    within = (clean > -1000) & (clean < 2000)
    spread = (noisy.ct.array - clean)[within].std()
    assert spread == pytest.approx(noisy.scanner.noise_sd, rel=0.02)


def test_thick_slices_average_what_thin_ones_show():
    settings = {**THREE, "noise_sd": (0, 0)}
    specs = {"L2": FractureSpec("crush", 0.2)}
    thin = make_case(8, {**settings, "voxel_spacing": (1.0, 1.0, 1.0)}, specs)
    thick = make_case(8, {**settings, "voxel_spacing": (3.0, 1.0, 1.0)}, specs)
    np.testing.assert_allclose(thick.ct.voxel_spacing, (3, 1, 1), atol=1e-5)
    for fact in thin.facts:
        volumes = [
            np.count_nonzero(case.vertebrae.array == fact.label) * case.ct.voxel_spacing.prod()
            for case in (thin, thick)
        ]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    bright = [np.percentile(c.ct.array[c.vertebrae.array > 0], 98) for c in (thin, thick)]
    assert bright[1] < bright[0]


def test_spacing_is_drawn_from_ranges_and_shared_by_equal_ones():
    settings = {"levels_per_case": (1, 1), "voxel_spacing": ((2.0, 3.0), (1.5, 2.0), (1.5, 2.0))}
    drawn = [make_case(seed, settings).ct.voxel_spacing for seed in range(3)]
    for d, h, w in drawn:
        assert 2 <= d <= 3
        assert 1.5 <= h <= 2
        assert h == pytest.approx(w, rel=1e-5)
    assert drawn[0][0] != pytest.approx(drawn[1][0], rel=1e-3)


def test_filter_equals_convolution_with_repeated_edges():
    array = np.random.default_rng(2).normal(size=(5, 9, 4)).astype(np.float32)
    taps = np.array([0.5, 0.2, 0.05])
    full = np.array([0.05, 0.2, 0.5, 0.2, 0.05])
    for axis in range(3):
        pad = [(2, 2) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(array, pad, mode="edge")
        expected = np.apply_along_axis(lambda v: np.convolve(v, full, "valid"), axis, padded)
        got = filter_axis(array, taps, axis)
        assert got.dtype == np.float32
        middle = tuple(slice(2, -2) if a == axis else slice(None) for a in range(3))
        np.testing.assert_allclose(got[middle], expected[middle], atol=1e-6)
        np.testing.assert_allclose(got.sum(axis)[0], got.sum(axis)[0])


def test_filter_keeps_a_constant():
    array = np.full((6, 7, 8), 3.0, np.float32)
    for axis in range(3):
        np.testing.assert_allclose(
            filter_axis(array, np.array([0.6, 0.15, 0.05]), axis), 3, rtol=1e-6
        )


def test_labels_of_thick_slices_need_half_of_the_layers():
    labels = np.random.default_rng(4).choice([0, 0, 3], size=(6, 4, 3)).astype(np.uint8)
    got = average_labels(labels, np.array([3, 2, 1]))
    for d, h, w in np.ndindex(2, 2, 3):
        block = labels[3 * d : 3 * d + 3, 2 * h : 2 * h + 2, w]
        assert got[d, h, w] == (3 if np.count_nonzero(block) >= 3 else 0)
