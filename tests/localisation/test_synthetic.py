"""Drawn bodies: the points lie in bone, and the body is where it should be."""

import itertools

import numpy as np
import pytest

from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.localisation.coarse import KEPT_MM
from vfseg.localisation.levels import NAMES
from vfseg.localisation.synthetic import draw_case, paint_map


@pytest.fixture(scope="module")
def drawn():
    return draw_case(3, "drawn")


def around(hu, place, reach=1):
    d, h, w = np.rint(place).astype(int)
    return hu[d - reach : d + reach + 1, h - reach : h + reach + 1, w - reach : w + reach + 1]


def test_every_level_is_drawn_from_the_head_down(drawn):
    assert list(drawn.points) == list(NAMES)
    heights = [place[0] for place in drawn.points.values()]
    assert (np.diff(heights) < 0).all()


def test_bodies_are_bone_between_softer_discs(drawn):
    places = list(drawn.points.values())
    disc = [np.mean(around(drawn.hu, (a + b) / 2, 0)) for a, b in itertools.pairwise(places)]
    rims = [around(drawn.hu, place, 4).max() for place in places]
    assert min(rims) > 350
    assert np.median(disc) < 150


def test_ribs_hang_on_the_thorax_only(drawn):
    def bone_aside(level):
        d, h, w = np.rint(drawn.points[level]).astype(int)
        beside = drawn.hu[d - 8 : d + 3, h - 12 : h + 12, w - 28 : w + 29]
        return min((beside[:, :, :12] > 400).sum(), (beside[:, :, -12:] > 400).sum())

    assert min(bone_aside(level) for level in ("T6", "T8", "T10")) > 20
    assert max(bone_aside(level) for level in ("L2", "L3")) < 5


def test_air_surrounds_the_body_and_lungs_lie_within(drawn):
    assert (drawn.hu[:, -2:, :] < -900).all()
    d, h, w = np.rint(drawn.points["T8"]).astype(int)
    assert (drawn.hu[d, h : h + 12, w - 24] < -600).any()
    d = round(drawn.points["L3"][0])
    assert (drawn.hu[d, h : h + 12, w - 20 : w + 20] > -300).mean() > 0.8


def test_equal_seeds_give_equal_cases(drawn):
    np.testing.assert_array_equal(draw_case(3, "again").hu, drawn.hu)


def test_bones_of_a_map_lie_where_its_points_say():
    labels = np.zeros((100, 60, 50), np.uint8)
    for number, label in enumerate((22, 23, 24)):  # VerSe's L3 to L5
        top = 92 - 18 * number
        labels[top - 13 : top, 30:47, 14:36] = label  # a body, 26 x 34 x 44 mm
        labels[top - 10 : top - 4, 10:30, 23:27] = label
    geometry = geometry_from(labels.shape[::-1], np.diag([2.0, 2.0, 2.0, 1.0]))
    case = paint_map(Volume(labels, geometry), 1, "map")
    assert list(case.points) == ["L3", "L4", "L5", "S1"]
    between = around(case.hu, (case.points["L4"] + case.points["L5"]) / 2, 0).mean()
    for level in ("L3", "L4", "L5"):
        assert around(case.hu, case.points[level], 6).max() > between + 100
    steps = [case.points[a][0] - case.points[b][0] for a, b in (("L3", "L4"), ("L4", "L5"))]
    np.testing.assert_allclose(np.array(steps) * KEPT_MM, 36, atol=4)
    assert case.hu.shape[0] * KEPT_MM < case.points["L3"][0] * KEPT_MM + 40
