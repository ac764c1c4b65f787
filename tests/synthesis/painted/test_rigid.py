"""Bones that come down over a fracture: rigid, and taken back by the discs."""

import numpy as np
import pytest

from vfseg.synthesis.painted.rigid import settle
from vfseg.synthesis.phantom.shapes import Frame


def column(count=5):
    return [Frame(np.array([35.0 * (count - i), 0.0, 0.0]), np.eye(3)) for i in range(count)]


def lean(move):
    """Degrees by which a bone tips forward (its top towards anterior)."""
    return float(np.degrees(np.arctan2(move.turn[1, 0], move.turn[0, 0])))


def test_nothing_moves_over_whole_vertebrae():
    for move in settle(column(), [None] * 5):
        np.testing.assert_array_equal(move.turn, np.eye(3))
        np.testing.assert_array_equal(move.shift, np.zeros(3))


def test_what_lies_above_comes_down_and_what_lies_below_stays():
    moves = settle(column(), [None, None, (6.0, 0.0), None, None])
    for number, move in enumerate(moves):
        down = 6.0 if number < 2 else 0.0
        np.testing.assert_allclose(move.point(np.zeros(3)), [-down, 0, 0])
        np.testing.assert_allclose(move.turn, np.eye(3))


def test_a_wedge_tips_forward_and_every_disc_takes_a_fifth_back():
    moves = settle(column(), [None, None, None, (3.0, 10.0), None])
    assert [lean(move) for move in moves] == pytest.approx(
        [10 * 0.8**2, 10 * 0.8, 10, 0, 0], abs=1e-9
    )
    for move in moves:
        np.testing.assert_allclose(move.turn @ move.turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(move.turn) == pytest.approx(1)
    # Discs stay: the middle between two bones moves alike with either of them, near enough.
    frames = column()
    for upper in (0, 1):
        joint = (frames[upper].centre + frames[upper + 1].centre) / 2
        np.testing.assert_allclose(
            moves[upper].point(joint), moves[upper + 1].point(joint), atol=1e-9
        )
