"""Memory of this process: what it holds now is part of its peak."""

import mmap

from benchmarks.memory import peak_resident_bytes, resident_bytes


def test_what_is_held_counts_now_and_in_the_peak():
    size = 2**28
    before = resident_bytes()
    with mmap.mmap(-1, size) as held:  # an array may lie where an earlier one lay
        for page in range(0, size, mmap.PAGESIZE):
            held[page] = 1
        now = resident_bytes()
    # The system counts in steps for each processor, so its two figures may differ by a little.
    assert now - before > 0.9 * size
    assert peak_resident_bytes() - before > 0.9 * size
