import numpy as np
import pytest

from vfseg.report import rendering
from vfseg.report.rendering import PIXEL_MM, Surface, Viewpoint, axes_of, cast, shade

FRONT, LEFT, BACK, OBLIQUE = (Viewpoint("", a) for a in (0.0, 90.0, 180.0, 30.0))
SPACING = 1.25
SHAPE = (101, 121)


def ball(centre, radius, shape=(40, 36, 44)):
    """Smooth field that is 0.5 on a sphere, in voxels; falls off linearly through the surface."""
    points = np.indices(shape).transpose(1, 2, 3, 0)
    away = np.linalg.norm(points - np.asarray(centre), axis=-1)
    return np.clip(0.5 + (radius - away) / 4, 0, 1).astype(np.float32)


@pytest.mark.parametrize("viewpoint", [FRONT, LEFT, BACK, OBLIQUE])
def test_depth_and_normals_of_a_ball_are_those_of_geometry(viewpoint):
    centre, radius = np.array([22.0, 15.0, 25.0]), 9.0
    surface = cast(ball(centre, radius), 0.5, SPACING, viewpoint, SHAPE)
    right = axes_of(viewpoint)[0]
    middle = (np.array([40, 36, 44]) - 1) / 2
    offset = (centre - middle) * SPACING
    x = (np.arange(SHAPE[1]) - (SHAPE[1] - 1) / 2) * PIXEL_MM - offset @ right
    y = ((SHAPE[0] - 1) / 2 - np.arange(SHAPE[0])) * PIXEL_MM - offset[0]
    from_axis = np.hypot(*np.meshgrid(x, y))
    inside = from_axis < 0.9 * radius * SPACING
    assert np.isfinite(surface.depth[inside]).all()
    assert not np.isfinite(surface.depth[from_axis > 1.1 * radius * SPACING]).any()
    sphere = -np.sqrt((radius * SPACING) ** 2 - from_axis[inside] ** 2)
    error = surface.depth[inside] - sphere
    assert np.ptp(error) < 0.4  # mm, up to the unknown distance of the eye's plane
    expected = np.stack(
        [
            np.broadcast_to(x, SHAPE)[inside],
            np.broadcast_to(y[:, None], SHAPE)[inside],
            -sphere,
        ],
        axis=-1,
    ) / (radius * SPACING)
    cosine = (surface.normal[inside] * expected).sum(axis=-1)
    assert cosine.min() > 0.98


def test_who_stands_where():
    right_side, front, top = (20, 18, 38), (20, 30, 22), (34, 18, 22)

    def middle_of(viewpoint, centre):
        seen = np.argwhere(np.isfinite(cast(ball(centre, 4), 0.5, SPACING, viewpoint, SHAPE).depth))
        return seen.mean(axis=0) - (np.array(SHAPE) - 1) / 2

    assert middle_of(FRONT, right_side)[1] < -20  # patient's right on the left of the picture
    assert middle_of(BACK, right_side)[1] > 20
    assert middle_of(LEFT, front)[1] < -20  # anterior on the left, as in sagittal pictures
    assert middle_of(FRONT, top)[0] < -20
    assert abs(middle_of(FRONT, front)[1]) < 2


def test_the_nearer_of_two_surfaces_is_seen_first():
    two = np.maximum(ball((20, 28, 22), 4), ball((20, 8, 22), 6))
    depth = cast(two, 0.5, SPACING, FRONT, SHAPE).depth
    front_alone = cast(ball((20, 28, 22), 4), 0.5, SPACING, FRONT, SHAPE).depth
    seen = np.isfinite(front_alone)
    np.testing.assert_allclose(depth[seen], front_alone[seen], atol=1e-4)
    assert np.isfinite(depth).sum() > seen.sum()  # the rim of the larger ball behind


@pytest.mark.parametrize("rows", [1, 7, 48])
def test_slabs_of_rows_change_nothing(monkeypatch, rows):
    field = ball((20, 18, 22), 10)
    whole = cast(field, 0.5, SPACING, OBLIQUE, SHAPE)
    monkeypatch.setattr(rendering, "_SLAB_ROWS", rows)
    parts = cast(field, 0.5, SPACING, OBLIQUE, SHAPE)
    inner = np.abs(np.where(np.isfinite(whole.depth), whole.normal[..., 2], 0)) > 0.3
    np.testing.assert_allclose(parts.depth[inner], whole.depth[inner], atol=0.05)
    assert (np.isfinite(parts.depth) == np.isfinite(whole.depth)).mean() > 0.999


def flat(depth):
    normal = np.zeros((*depth.shape, 3), np.float32)
    normal[np.isfinite(depth), 2] = 1.0
    return Surface(depth, normal)


def test_fracture_is_red_through_bone_and_alone_and_bone_is_not():
    far, shape = np.inf, (60, 90)
    bone = np.full(shape, far, np.float32)
    bone[:, 30:] = 20.0
    fracture = np.full(shape, far, np.float32)
    fracture[20:40, :10] = 25.0  # beside the bone
    fracture[20:40, 70:] = 30.0  # 10 mm behind its surface
    picture = shade(flat(bone), flat(fracture))
    assert picture.min() >= 0
    assert picture.max() <= 1
    alone, hidden, plain, empty = (picture[30, x] for x in (2, 85, 45, 20))
    for red in (alone, hidden):
        assert red[0] > 2 * max(red[1], red[2])
    assert hidden[1] > alone[1]  # some bone remains before it
    assert plain.min() > 0.4
    assert empty.max() < 0.35
