"""The building blocks of the phantom against closed forms and slow twins."""

import numpy as np
import pytest

from vfseg.synthesis.phantom.shapes import (
    Frame,
    Grid,
    Rod,
    coverage,
    ellipse_distance,
    smooth_max,
    smooth_min,
)
from vfseg.synthesis.phantom.spine import turned_axes


def grid(spacing, reach=15.0) -> Grid:
    spacing = np.broadcast_to(np.asarray(spacing, float), 3)
    d, h, w = np.ceil(2 * reach / spacing).astype(int)
    return Grid((int(d), int(h), int(w)), spacing, np.full(3, -reach))


FRAME = Frame(np.array([1.0, -2.0, 0.5]), turned_axes(20, -10, 30))
ALL = (slice(None), slice(None), slice(None))


def test_local_coordinates_undo_the_frame():
    g = grid((2.0, 1.5, 3.0))
    points = np.array([[3.0, 4.0, -5.0], [0.0, 0.0, 0.0]])
    box = g.box(FRAME.to_patient(points), 2.0)
    local = np.stack(g.local(box, FRAME), -1)
    index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), -1)
    np.testing.assert_allclose(FRAME.to_patient(local), g.origin + index * g.spacing, atol=1e-4)
    patient = FRAME.to_patient(points)
    low, high = (g.origin + np.array([getattr(s, end) for s in box]) * g.spacing
                 for end in ("start", "stop"))  # fmt: skip
    assert (low <= patient.min(0) - 2 + g.spacing).all()
    assert (high - g.spacing >= patient.max(0) + 2 - g.spacing).all()
    assert g.box(np.array([[500.0, 0, 0]]), 1) is None


def test_distance_to_a_circle_is_exact_and_to_an_ellipse_zero_on_it():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-20, 20, (2, 200)).astype(np.float32)
    np.testing.assert_allclose(ellipse_distance(x, y, 7.0, 7.0), np.hypot(x, y) - 7, atol=0.05)
    t = np.linspace(0, 2 * np.pi, 50)
    on = ellipse_distance(12 * np.cos(t), 5 * np.sin(t), 12.0, 5.0)
    np.testing.assert_allclose(on, 0, atol=0.02)
    # First order: a step of 0.2 mm along the outward normal changes the distance by 0.2 mm.
    normal = np.stack([np.cos(t) / 12, np.sin(t) / 5])
    normal /= np.linalg.norm(normal, axis=0)
    moved = ellipse_distance(
        12 * np.cos(t) + 0.2 * normal[0], 5 * np.sin(t) + 0.2 * normal[1], 12.0, 5.0
    )
    np.testing.assert_allclose(moved, 0.2, atol=0.03)


def test_a_round_rod_is_a_capsule():
    rod = Rod((-4.0, 1.0, 0.0), (5.0, 2.0, 3.0), (2.5, 2.5))
    g = grid(1.0)
    local = g.local(ALL, FRAME)
    points = np.stack(local, -1).reshape(-1, 3).astype(float)
    start, stop = np.array(rod.start), np.array(rod.stop)
    t = np.clip((points - start) @ (stop - start) / np.sum((stop - start) ** 2), 0, 1)
    expected = np.linalg.norm(points - start - t[:, None] * (stop - start), axis=1) - 2.5
    np.testing.assert_allclose(rod.distance(local).ravel(), expected, atol=0.05)


@pytest.mark.parametrize("spacing", [0.5, 1.25, (2.0, 1.0, 1.0)])
def test_partial_volumes_add_up_to_the_volume(spacing):
    rod = Rod((-6.0, 0.0, 0.0), (6.0, 0.0, 0.0), (4.0, 4.0))
    g = grid(spacing)
    covered = coverage(rod.distance(g.local(ALL, FRAME)), g.width).sum() * g.spacing.prod()
    exact = np.pi * 4**2 * 12 + 4 / 3 * np.pi * 4**3
    assert covered == pytest.approx(exact, rel=0.03)


def test_thin_shell_comes_out_at_its_share_of_a_voxel():
    x = np.arange(-20, 20, 1.25)
    for shift in np.linspace(0, 1.25, 7):
        outer = coverage(x - shift, 1.25)
        inner = coverage(x - shift + 0.6, 1.25)
        assert np.sum(outer - inner) * 1.25 == pytest.approx(0.6)  # nothing lost, nothing won


def test_smooth_unions_and_intersections_stay_close_to_the_sharp_ones():
    a, b = np.random.default_rng(1).uniform(-10, 10, (2, 500))
    for smooth, sharp, sign in ((smooth_max, np.maximum, 1), (smooth_min, np.minimum, -1)):
        difference = sign * (smooth(a, b, 2.0) - sharp(a, b))
        assert difference.min() >= 0
        assert difference.max() <= 0.5  # a quarter of the radius, where a equals b
        far = np.abs(a - b) > 2
        np.testing.assert_array_equal(difference[far], 0)
