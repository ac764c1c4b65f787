import dataclasses

import numpy as np

from tests.report.scene import make_scene, without_spine
from vfseg.report.curved import curved_picture
from vfseg.report.view_grid import view_volumes


def leaning():
    """The two vertebrae of the scene, one 6 voxels further to the right than the other."""
    scene = make_scene()
    upper, lower = scene.spine.vertebrae
    moved = dataclasses.replace(upper, centre=upper.centre + np.array([0, 0, 6]))
    return dataclasses.replace(scene, spine=scene.spine._replace(vertebrae=(moved, lower)))


def test_the_plane_passes_through_the_bodies_and_straight_between_them():
    scene = leaning()
    volumes = view_volumes(scene)
    picture = curved_picture(volumes, scene.spine.vertebrae)
    depth, height, _ = volumes.grid.shape
    upper, lower = (volumes.grid.index_of(v.centre) for v in scene.spine.vertebrae)
    columns = picture.columns[::-1]  # from caudal to cranial, as d runs
    d = np.arange(depth)
    slope = (upper[2] - lower[2]) / (upper[0] - lower[0])
    between = (d >= lower[0]) & (d <= upper[0])
    expected = lower[2] + slope * (d[between] - lower[0])
    np.testing.assert_allclose(columns[between], expected)
    np.testing.assert_allclose(columns[d > upper[0]], upper[2])
    np.testing.assert_allclose(columns[d < lower[0]], lower[2])
    assert {layer.shape for layer in picture.layers.values()} == {(depth, height)}
    assert set(picture.layers) == {"ct", "probability", "truth"}


def test_the_picture_shows_the_front_on_the_left_and_the_head_above():
    scene = leaning()
    volumes = view_volumes(scene)
    picture = curved_picture(volumes, scene.spine.vertebrae)
    depth, height, _ = volumes.grid.shape
    for row, column in ((0, 0), (10, 3), (depth - 1, height - 1)):
        d, h, w = depth - 1 - row, height - 1 - column, round(picture.columns[row])
        assert picture.layers["ct"][row, column] == volumes.ct[d, h, w]


def test_without_vertebrae_it_is_the_middle_plane():
    scene = without_spine(make_scene())
    volumes = view_volumes(scene)
    picture = curved_picture(volumes, ())
    np.testing.assert_array_equal(picture.columns, (volumes.grid.shape[2] - 1) / 2)
