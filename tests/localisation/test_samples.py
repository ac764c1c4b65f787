"""Pieces of cases: targets lie on the bodies, whatever is done to the picture."""

import numpy as np
import pytest
from scipy import ndimage

from vfseg.localisation import samples
from vfseg.localisation.coarse import CELL, KEPT_MM, CoarseCase
from vfseg.localisation.levels import NAMES, class_of
from vfseg.localisation.samples import HEAT_MM, SHAPE, draw_sample
from vfseg.synthesis.phantom.tissue import AIR


@pytest.fixture(scope="module")
def balls():
    """A spine of bright balls in soft tissue."""
    hu = np.full((140, 60, 60), 40, np.int16)
    points = {}
    axes = np.meshgrid(*map(np.arange, hu.shape), indexing="ij", sparse=True)
    for number, name in enumerate(NAMES[NAMES.index("T4") : NAMES.index("L4")]):
        points[name] = np.array([130.0 - 9 * number, 28, 30])
        away = sum((axis - at) ** 2 for axis, at in zip(axes, points[name]))
        hu[away < (8 / KEPT_MM) ** 2] = 600
    return CoarseCase("drawn", hu, points, (0.0, 140.0), np.zeros((0, 3)))


def test_targets_lie_on_what_is_bright(balls):
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(12):
        sample = draw_sample(rng, [balls])
        assert sample.hu.shape == sample.heat.shape == sample.weight.shape == SHAPE
        middle = sample.heat > 0.9
        seen += middle.any()
        if middle.any():
            bright = ndimage.gaussian_filter(sample.hu, 1)[middle].mean()
            assert bright > sample.hu[(sample.heat > 0.01) & (sample.heat < 0.1)].mean() + 100
    assert seen > 6


def test_levels_are_learnt_around_the_middles_only_and_sum_to_one(balls):
    rng = np.random.default_rng(1)
    for _ in range(6):
        sample = draw_sample(rng, [balls])
        total = sample.level.sum(-1)
        assert set(np.round(np.unique(total), 5)) <= {0, 1}
        fine = np.kron(total, np.ones((CELL, CELL, CELL)))
        assert sample.heat[fine > 0].min(initial=1) > 0.05
        learnt = set(sample.level[total > 0.5].argmax(-1))
        assert learnt <= {class_of(name) for name in balls.points}


def test_nothing_is_learnt_where_nothing_is_known(balls):
    half = CoarseCase("real", balls.hu, balls.points, (70.0, 140.0), np.zeros((0, 3)))
    rng = np.random.default_rng(2)
    shares = [draw_sample(rng, [half]).weight.mean() for _ in range(8)]
    assert 0.2 < np.mean(shares) < 0.95


def test_a_body_that_is_cut_off_is_neither_found_nor_missed(balls):
    cut = CoarseCase("drawn", balls.hu, balls.points, balls.known, balls.points["T9"][None])
    seen = 0
    for seed in range(12):
        whole, doubtful = (
            draw_sample(np.random.default_rng(seed), [case]) for case in (balls, cut)
        )
        changed = whole.weight != doubtful.weight
        seen += changed.any()
        assert (doubtful.weight[changed] == 0).all()
        assert 4**3 * changed.sum() <= 1.4 * 4 / 3 * np.pi * 16**3  # at most a ball, mm
        np.testing.assert_array_equal(whole.heat, doubtful.heat)
    assert seen >= 4


def test_equal_seeds_give_equal_pieces(balls):
    one, other = (draw_sample(np.random.default_rng(3), [balls]) for _ in range(2))
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)


def always(monkeypatch, **shares):
    """Has every piece, or none, be of a kind."""
    for name in ("FRONT", "SHORT", "METAL"):
        monkeypatch.setattr(samples, name, shares.get(name, 0.0))


def drawn(case, number=10):
    return [draw_sample(np.random.default_rng(seed), [case]) for seed in range(number)]


def test_pieces_in_front_of_the_spine_teach_that_nothing_is_there(balls, monkeypatch):
    always(monkeypatch)
    usual = sum((sample.heat > 0.9).any() for sample in drawn(balls))
    always(monkeypatch, FRONT=1.0)
    front = drawn(balls)
    assert sum((sample.heat > 0.9).any() for sample in front) <= usual / 3
    assert np.mean([sample.weight.mean() for sample in front]) > 0.5


def test_a_short_field_shows_a_few_vertebrae(balls, monkeypatch):
    always(monkeypatch, SHORT=1.0)
    for sample in drawn(balls, 6):
        in_view = (sample.hu != AIR).any((1, 2)).sum()
        assert in_view < 38  # voxels of 4 mm: 15 cm


def test_screws_lie_beside_the_middles_and_the_targets_stay(balls, monkeypatch):
    always(monkeypatch, METAL=1.0)
    seen = 0
    for sample in drawn(balls):
        metal = sample.hu > 1600  # bone has 600 HU, and with gain and noise half as much more
        seen += metal.any()
        # A rod of up to 4 mm radius, 11 mm aside, leaves 7 mm to the middle, less half a voxel.
        nearest = np.exp(-0.5 * (5 / HEAT_MM) ** 2)
        assert sample.heat[metal].max(initial=0) <= nearest
    assert seen >= 5
