"""Peaks of built heat maps."""

import numpy as np

from vfseg.localisation.coarse import SPACING_MM
from vfseg.localisation.levels import CLASSES
from vfseg.localisation.peaks import LEAST, peaks_of


def heat_around(places, shape=(40, 16, 16), height=0.8, spread=1.4):
    """Logits of a map with a round peak at each place, voxels."""
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    heat = np.full(shape, 1e-4)
    for place in places:
        away = sum((axis - at) ** 2 for axis, at in zip(axes, place))
        heat = np.maximum(heat, height * np.exp(-away / (2 * spread**2)))
    return np.log(heat / (1 - heat))


def test_peaks_lie_between_voxels_and_run_from_the_head_down():
    places = np.array([[9.3, 7.6, 8.0], [30.5, 6.0, 7.25], [20.0, 8.4, 7.5]])
    peaks = peaks_of(heat_around(places), np.zeros((20, 8, 8, CLASSES)))
    expected = SPACING_MM * places[[1, 2, 0]]
    assert np.linalg.norm(peaks.places - expected, axis=1).max() < 0.35 * SPACING_MM
    assert (peaks.heights > 0.6).all()
    np.testing.assert_allclose(np.exp(peaks.levels).sum(1), 1)


def test_levels_are_those_of_the_cell_under_the_peak():
    level = np.zeros((20, 8, 8, CLASSES))
    level[5, 3, 4, 7] = 9  # voxels 10 to 11, 6 to 7, 8 to 9
    peaks = peaks_of(heat_around([(10.5, 6.5, 8.5)]), level)
    assert peaks.levels[0].argmax() == 7


def test_low_peaks_and_the_lower_of_two_neighbours_are_none():
    level = np.zeros((20, 8, 8, 3))
    assert not len(peaks_of(heat_around([(20, 8, 8)], height=0.9 * LEAST), level).heights)
    both = np.maximum(heat_around([(20, 8, 8)]), heat_around([(22, 8, 8)], height=0.7, spread=0.5))
    assert len(peaks_of(both, level).heights) == 1


def test_a_peak_at_the_border_counts():
    peaks = peaks_of(heat_around([(0, 8, 15)]), np.zeros((20, 8, 8, 3)))
    assert len(peaks.heights) == 1
    assert np.linalg.norm(peaks.places[0] / SPACING_MM - [0, 8, 15]) < 1
