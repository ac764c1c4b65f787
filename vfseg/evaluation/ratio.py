"""Ratios of counts, not a number where there is nothing to divide by."""

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient in float64, NaN where the denominator is 0.

    Args:
        numerator: counts or sums, any shape that broadcasts with the denominator.
        denominator: 0 or more.

    >>> ratio(np.array([1, 1]), np.array([2, 0])).tolist()
    [0.5, nan]
    """
    defined = denominator > 0
    return np.where(defined, numerator, np.nan) / np.where(defined, denominator, 1)


def ratio_of_columns(sums: np.ndarray) -> np.ndarray:
    """Column 0 over column 1 of sums "... 2", such as a total over a number of units: their mean.

    Returns:
        float64 "...", NaN where column 1 is 0.

    >>> ratio_of_columns(np.array([[3, 4], [0, 2]])).tolist()
    [0.75, 0.0]
    """
    total, number = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    return ratio(total, number)
