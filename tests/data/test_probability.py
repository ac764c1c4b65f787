"""Codes of stored probabilities, and the mask that is cut by comparing them."""

import numpy as np

from vfseg.data.probability import BINS, reaches, score_bin

TOP = BINS - 1


def test_bins_are_the_rounded_codes_of_a_stored_map():
    codes = np.arange(BINS)
    np.testing.assert_array_equal(score_bin(codes / TOP), codes)
    np.testing.assert_array_equal(score_bin((codes / TOP).astype(np.float32)), codes)
    assert score_bin(np.array([0.4 / TOP, 0.6 / TOP])).tolist() == [0, 1]


def test_a_mask_is_the_same_from_the_map_and_from_its_stored_form():
    """float32(code / 65535) may lie on either side of the threshold; its code does not."""
    codes = np.arange(BINS)
    stored = (codes * np.float32(1 / TOP)).astype(np.float32).clip(0, 1)
    for code in (1, 13_107, 40_000, TOP):
        np.testing.assert_array_equal(reaches(stored, code / TOP), codes >= code)
