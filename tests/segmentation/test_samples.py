"""What the segmenter learns from: patches whose mask lies on what it stands for."""

import dataclasses

import numpy as np
import pytest

from vfseg.segmentation.labelled import KEPT_MM, LabelledCase
from vfseg.segmentation.patch import POINT, SHAPE, SPACING_MM
from vfseg.segmentation.samples import draw_sample

RADIUS_MM = 12.0


def make_case(name="a", real=False, hu=1000):
    """Three bright balls 30 mm apart, each a vertebra."""
    shape = (140, 100, 100)
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    labels = np.zeros(shape, np.uint8)
    points = {k: np.array([40.0 + 24 * k, 52, 50]) for k in (1, 2, 3)}
    for label, point in points.items():
        away = sum((axis - at) ** 2 for axis, at in zip(axes, point)) * KEPT_MM**2
        labels[away < RADIUS_MM**2] = label
    return LabelledCase(name, real, np.where(labels, hu, 0).astype(np.int16), labels, points)


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return [draw_sample(rng, [make_case()]) for _ in range(12)]


def test_a_mask_is_one_ball_of_its_size_near_the_point(samples):
    volume = 4 / 3 * np.pi * (RADIUS_MM / SPACING_MM) ** 3
    for _, mask in samples:
        assert mask.shape == SHAPE
        assert mask.dtype == np.float32
        assert 0 <= mask.min() <= mask.max() <= 1
        index = np.argwhere(mask > 0.5)
        middle = index.mean(0)
        assert np.abs(middle - POINT).max() < 15 / SPACING_MM
        # Scales of 0.85 x 0.95 to 1.15 x 1.05 along three axes; of a voxel of mm, not of the ball.
        assert volume / 1.21**3 * 0.95 < mask.sum() < volume / 0.8**3 * 1.05


def test_where_the_mask_is_the_ct_is_bright_and_its_neighbours_are_not_in_it(samples):
    for hu, mask in samples:
        assert hu[mask > 0.99].mean() - hu[mask < 0.01].mean() > 400
    # Two more balls are bright, and no part of the mask.
    assert sum(np.count_nonzero(hu[mask < 0.01] > 500) > 500 for hu, mask in samples) >= 8


def test_equal_seeds_give_equal_patches():
    one, other = (draw_sample(np.random.default_rng(3), [make_case()]) for _ in range(2))
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)


def test_half_of_the_patches_at_least_are_of_real_bone():
    cases = [make_case(hu=2000), *[make_case(hu=2000)] * 8, make_case(real=True, hu=600)]
    rng = np.random.default_rng(1)
    drawn = [draw_sample(rng, cases) for _ in range(24)]
    real = sum(np.median(hu[mask > 0.99]) < 1200 for hu, mask in drawn)
    assert 6 <= real <= 20  # 13 expected


def test_without_cts_of_real_bone_the_others_do():
    case = dataclasses.replace(make_case(), real=False)
    assert draw_sample(np.random.default_rng(0), [case]).mask.any()
