"""Surfaces of label maps against shapes whose distance is known."""

import numpy as np
import pytest

from vfseg.data.box import bounding_box
from vfseg.synthesis.painted.rigid import STILL, Rigid
from vfseg.synthesis.painted.solids import FAR_MM, solid_of
from vfseg.synthesis.phantom.scanner import rotation_about
from vfseg.synthesis.phantom.shapes import Grid

SPACINGS = [(1.0, 1.0, 1.0), (1.5, 1.5, 1.5), (3.0, 0.8, 0.8)]


def ball(spacing, radius=14.0, extent=44.0):
    spacing = np.array(spacing)
    shape = np.ceil(extent / spacing).astype(int)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * spacing
    inside = np.linalg.norm(place - 21.0, axis=-1) < radius
    return inside.astype(np.uint8), spacing


def fine(solid, moved=STILL):
    grid = Grid((50, 50, 50), np.full(3, 0.9), np.full(3, -1.0))
    box = (slice(0, 50), slice(0, 50), slice(0, 50))
    place = -1.0 + 0.9 * np.stack(np.meshgrid(*[np.arange(50)] * 3, indexing="ij"), -1)
    return solid.on(grid, box, moved), place


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_ball_has_its_distance_and_no_staircase(spacing):
    labels, spacing = ball(spacing)
    distance, place = fine(solid_of(labels, 1, bounding_box(labels > 0), spacing))
    truth = np.linalg.norm(place - 21.0, axis=-1) - 14.0
    near = np.abs(truth) < 2
    error = (distance - truth)[near]
    assert abs(error.mean()) < 0.25 * spacing.max()
    # A surface of voxels would be uniform in +-half a voxel about the true one: SD 0.29 of it.
    assert error.std() < 0.2 * spacing.max()
    assert distance[truth < -5].max() < -3
    assert (distance[truth > FAR_MM + 2] >= FAR_MM - 1).all()


def test_a_flat_surface_is_exact_along_and_across_the_voxels():
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[5:20] = 4
    solid = solid_of(labels, 4, bounding_box(labels > 0), np.array([1.0, 1.0, 1.0]))
    distance, place = fine(solid)
    inside = (place[..., 1:] > 8).all(-1) & (place[..., 1:] < 20).all(-1)
    near = inside & (np.abs(place[..., 0] - 19.5) < 2)
    np.testing.assert_allclose(distance[near], place[near][:, 0] - 19.5, atol=0.15)


def test_a_moved_solid_is_where_it_was_moved():
    labels, spacing = ball((1.0, 1.0, 1.0), radius=10.0)
    turn = rotation_about(np.array([0.0, 0.0, 1.0]), 0.4)
    moved = Rigid(turn, np.array([21.0, 21.0, 21.0]) - turn @ np.full(3, 21.0) + (3.0, -2.0, 1.0))
    distance, place = fine(solid_of(labels, 1, bounding_box(labels > 0), spacing), moved)
    centre = place[distance < 0].mean(0)
    np.testing.assert_allclose(centre, [24.0, 19.0, 22.0], atol=0.15)


def test_a_bone_ends_where_its_map_does():
    labels = np.ones((12, 12, 12), np.uint8)
    solid = solid_of(labels, 1, bounding_box(labels > 0), np.ones(3))
    distance, place = fine(solid)
    outside = (place > 11.9).any(-1) | (place < -0.9).any(-1)
    assert (distance[outside] > 0).all()
    assert (distance[((place > 1) & (place < 10)).all(-1)] < 0).all()
