"""The surroundings of a vertebra on the grid of the network."""

import numpy as np
import pytest

from vfseg.segmentation.patch import POINT, SHAPE, SPACING_MM, cut_patch, placed
from vfseg.synthesis.phantom.tissue import AIR


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (3.0, 0.75, 0.75), (0.8, 0.6, 2.0)])
def test_hu_are_where_they_lie_in_mm_from_the_point(spacing):
    """A CT whose HU grow by 2, 3 and 5 a mm along its axes: linear, so no resampling changes it."""
    spacing, point = np.array(spacing), np.array([60.0, 50.5, 45.25])
    per_mm = np.array([2.0, 3.0, 5.0])
    shape = np.ceil(200 / spacing).astype(int)
    point = point / spacing
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    ct = sum(g * s * (a - p) for g, s, a, p in zip(per_mm, spacing, axes, point))
    patch = cut_patch(ct.astype(np.float32), spacing, point)
    assert patch.shape == SHAPE
    for at in (POINT, (30, 12, 25), (44, 36, 40)):
        expected = per_mm @ (SPACING_MM * (np.array(at) - POINT))
        assert patch[at] == pytest.approx(expected, abs=0.05)


def test_outside_of_the_ct_there_is_air():
    patch = cut_patch(np.zeros((20, 20, 20), np.float32), np.ones(3), np.array([5.0, 10, 10]))
    assert abs(patch[POINT]) < 0.01
    assert patch[0, 0, 0] == patch[-1, -1, -1] == AIR


def test_the_first_voxel_and_the_steps_lead_to_the_point():
    spacing, point = np.array([2.5, 0.7, 0.9]), np.array([11.0, 70.2, 60.0])
    origin, step = placed(spacing, point)
    np.testing.assert_allclose(origin + np.array(POINT) * step, point)
    np.testing.assert_allclose(step * spacing, SPACING_MM)
