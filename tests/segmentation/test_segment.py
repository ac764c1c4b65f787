"""Outlines on the grid of a CT, with a network that sees what the test says."""

import numpy as np
import pytest

from vfseg.data.box import is_empty, start_of
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.segmentation import segment
from vfseg.segmentation.patch import POINT, SHAPE, SPACING_MM
from vfseg.segmentation.segment import label_vertebrae, labels_around, outline


def away_from_point():
    """How far each voxel of a patch lies from its point, mm."""
    axes = np.meshgrid(*map(np.arange, SHAPE), indexing="ij", sparse=True)
    return np.sqrt(sum((SPACING_MM * (axis - at)) ** 2 for axis, at in zip(axes, POINT)))


@pytest.fixture
def balls(monkeypatch):
    """Has the network see a ball around the point, of a radius in mm that the test gives."""

    def give(radius, sharpness=4.0):
        away = away_from_point()
        seen = np.clip(0.5 + (radius - away) / sharpness, 0, 1).astype(np.float32)
        monkeypatch.setattr(segment, "_run", lambda params, hu: seen)

    return give


def ct(spacing, extent_mm=(150.0, 120.0, 110.0)):
    """A CT of zeros whose canonical axes have that spacing, mm."""
    d, h, w = np.ceil(np.array(extent_mm) / spacing).astype(int)
    affine = np.diag([*np.array(spacing)[::-1], 1.0])
    geometry = geometry_from((w, h, d), affine)
    np.testing.assert_allclose(geometry.voxel_spacing, spacing)
    return Volume(np.zeros(geometry.shape, np.int16), geometry)


def ball(volume, point, radius):
    """The obvious way: every voxel of the CT, and how far it lies from the point."""
    axes = np.meshgrid(*map(np.arange, volume.shape), indexing="ij", sparse=True)
    steps = zip(axes, point, volume.voxel_spacing)
    return np.sqrt(sum((mm * (axis - at)) ** 2 for axis, at, mm in steps)) < radius


def whole(volume, labels, box):
    array = np.zeros(volume.shape, labels.dtype)
    array[box] = labels
    return array


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.6, 0.7), (0.7, 0.9, 2.5)])
def test_what_is_seen_lies_around_its_point_at_its_size(balls, spacing):
    balls(13.0)
    volume = ct(spacing)
    points = {20: np.array([95.0, 60, 50]) / spacing, 21: np.array([55.3, 62.2, 57]) / spacing}
    found = whole(volume, *label_vertebrae(volume, points, None))
    assert found.dtype == np.uint16
    for label, point in points.items():
        expected = ball(volume, point, 13.0)
        both = np.count_nonzero(expected & (found == label))
        dice = 2 * both / (np.count_nonzero(expected) + np.count_nonzero(found == label))
        assert dice > 0.97
    assert set(np.unique(found)) == {0, 20, 21}


def test_neighbours_that_meet_share_what_lies_between_them(balls):
    """Both are surest in their middles: the plane between them parts them."""
    balls(14.0, sharpness=40.0)
    volume = ct((1.0, 1.0, 1.0))
    points = {8: np.array([90.0, 60, 50]), 9: np.array([70.0, 60, 50])}
    for order in (points, dict(reversed(points.items()))):
        found = whole(volume, *labels_around(volume, order, None))
        either = ball(volume, points[8], 14) | ball(volume, points[9], 14)
        assert np.count_nonzero(either != (found > 0)) < 0.03 * np.count_nonzero(either)
        assert not (found[:80] == 8).any()
        assert not (found[81:] == 9).any()


def test_at_the_border_of_the_ct_the_rest_is_outlined(balls):
    balls(13.0)
    volume = ct((1.0, 1.0, 1.0))
    point = np.array([4.0, 60, 107])
    found = whole(volume, *labels_around(volume, {20: point}, None))
    expected = ball(volume, point, 13.0)
    assert np.count_nonzero(expected != (found == 20)) < 0.05 * np.count_nonzero(expected)


def test_a_body_is_looked_at_again_around_its_middle(monkeypatch):
    """The network sees bone within 15 mm of where it is pointed, so a point astray costs a part."""
    volume = ct((1.0, 1.0, 1.0))
    bodies = {8: np.array([95.0, 60, 50]), 9: np.array([55.0, 55, 58])}
    for middle in bodies.values():
        volume.array[ball(volume, middle, 13.0)] = 500
    near = away_from_point() < 15
    monkeypatch.setattr(segment, "_run", lambda params, hu: ((hu > 250) & near).astype(np.float32))
    points = {label: middle + np.array([5, -4, 3]) for label, middle in bodies.items()}
    unseen = np.array([130.0, 100, 90])
    once = whole(volume, *labels_around(volume, points | {10: unseen}, None))
    twice = whole(volume, *label_vertebrae(volume, points | {10: unseen}, None))
    for label, middle in bodies.items():
        expected = ball(volume, middle, 13.0)
        lost, still = (np.count_nonzero(expected & (found != label)) for found in (once, twice))
        assert lost > 0.1 * np.count_nonzero(expected)
        assert still < 0.5 * lost
    assert set(np.unique(twice)) == {0, 8, 9}


def test_where_nothing_is_seen_there_is_no_label(balls):
    balls(-9.0)
    volume = ct((1.0, 1.0, 1.0))
    box, probability = outline(volume, np.array([50.0, 60, 50]), None)
    assert is_empty(box)
    assert probability.size == 0
    labels, around = label_vertebrae(volume, {20: np.array([50.0, 60, 50])}, None)
    assert not labels.any()
    assert labels.shape == tuple(side.stop - side.start for side in around)


def test_what_is_asked_of_the_network_is_the_ct_around_the_point(monkeypatch):
    asked = []
    monkeypatch.setattr(
        segment, "_run", lambda params, hu: asked.append((params, hu)) or np.zeros(SHAPE)
    )
    volume = ct((1.5, 1.5, 1.5))
    volume.array[40, 50, 30] = 700
    outline(volume, np.array([40.0, 50, 30]), "params")
    ((params, hu),) = asked
    assert params == "params"
    assert hu[POINT] == 700
    assert np.count_nonzero(hu == 700) == 1


def test_the_labels_box_holds_all_patches(balls):
    balls(13.0)
    volume = ct((1.0, 1.0, 1.0))
    _, around = label_vertebrae(volume, {20: np.array([75.0, 60, 50])}, None)
    assert start_of(around)[0] <= 75 - POINT[0] * SPACING_MM
    assert around[0].stop >= 75 + (SHAPE[0] - 1 - POINT[0]) * SPACING_MM
