"""Pictures for TensorBoard: what is where, in which colour."""

import numpy as np
import pytest

from vfseg.training.samples import BONE_HU, best_slice, side_by_side


def test_ct_truth_and_prediction_stand_side_by_side():
    """Two rows, one column each: white bone below, black air above, in the order of a picture."""
    ct = np.array([[BONE_HU[1]], [BONE_HU[0]]])
    truth, probability = np.array([[0], [3]]), np.array([[0.0], [0.2]])
    black, white = [0, 0, 0], [255, 255, 255]
    expected = [[black, [255, 0, 0], [51, 0, 0]], [white, white, white]]
    picture = side_by_side(ct, truth, probability)
    np.testing.assert_array_equal(picture, expected)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slice_that_shows_most_is_chosen(axis):
    truth = np.zeros((5, 5, 5), np.uint8)
    assert best_slice(truth, axis) == 2
    truth[4, 4, 4] = 1
    np.moveaxis(truth, axis, 0)[1, :2, 0] = 7
    assert best_slice(truth, axis) == 1
