"""Memory of this process: what it holds now is part of its peak."""

import numpy as np

from benchmarks.memory import peak_resident_bytes, resident_bytes


def test_what_is_held_counts_now_and_in_the_peak():
    before = resident_bytes()
    held = np.ones(2**25, np.uint8)
    now = resident_bytes()
    assert now - before > 0.9 * held.nbytes
    assert peak_resident_bytes() >= now
