"""Merging windows: everyone's mean is the same, and one that is not is found out."""

import numpy as np
import pytest

from benchmarks import merge

VOLUME = (10, 4, 6)


def test_everyone_returns_the_mean_of_the_windows_over_a_slice():
    """Windows of 4 at stride 2: the two first and last slices lie in one window, others in two."""
    found, total = merge.competitors(VOLUME)
    windows = np.random.default_rng(0).random((4, 4, *VOLUME[1:]), np.float32)
    mean = found["NumPy loop"]()
    np.testing.assert_array_equal(mean[:2], windows[0, :2])
    np.testing.assert_array_equal(mean[-2:], windows[-1, 2:])
    np.testing.assert_array_equal(mean[2:4], (windows[0, 2:] + windows[1, :2]) / 2)
    assert total == windows.nbytes + mean.nbytes
    assert found["copy"]().nbytes == total / 2
    assert {"vfseg", "vfseg, gather", "vfseg, scatter"} < set(found)


def test_another_mean_is_found_out(monkeypatch):
    wrong = merge.numpy_loop
    monkeypatch.setattr(merge, "numpy_loop", lambda *args: np.nextafter(wrong(*args), 2))
    with pytest.raises(AssertionError, match="vfseg"):
        merge.competitors(VOLUME)
