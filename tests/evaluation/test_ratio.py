import numpy as np

from vfseg.evaluation.ratio import ratio, ratio_of_columns


def test_nothing_over_nothing_is_no_number_and_raises_no_warning():
    found = ratio(np.array([[3, 0], [1, 2]]), np.array([[4], [0]]))
    np.testing.assert_array_equal(found, [[0.75, 0], [np.nan, np.nan]])
    assert found.dtype == np.float64
    assert np.isnan(ratio(np.array(0), np.array(0)))


def test_a_mean_of_units_is_a_ratio_of_two_columns():
    assert ratio_of_columns(np.array([[3.0, 4], [0, 2]])).tolist() == [0.75, 0]
    assert np.isnan(ratio_of_columns(np.array([0, 0])))
