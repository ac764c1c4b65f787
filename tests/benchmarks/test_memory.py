"""Memory of this process: what it holds now is part of its peak; and of those that it starts."""

import mmap
import os
import subprocess
import sys

import pytest

from benchmarks.memory import Watch, peak_resident_bytes, resident_bytes, stored_bytes, tree_bytes

HOLDS = """
import subprocess, sys
if sys.argv[1] == "0":
    held = bytearray(b"x") * 2**27
    print(flush=True)
    input()
else:
    subprocess.run([sys.executable, "-c", sys.argv[2], "0", ""], check=True)
"""


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


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux")
def test_what_a_process_of_a_process_holds_counts_as_long_as_it_runs():
    size, before = 2**27, tree_bytes()
    earlier = peak_resident_bytes() - resident_bytes()  # of this process, whatever it was for
    with Watch() as watch:
        program = [sys.executable, "-c", HOLDS, "1", HOLDS]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
            held.stdout.readline()
            assert tree_bytes() - before > 0.9 * size
            held.communicate(b"\n")
        assert held.returncode == 0
        assert tree_bytes() - before < 0.5 * size
    assert 0 <= watch.bytes < max(earlier, size) + size


def test_the_peak_of_this_process_is_never_missed():
    """However short it lasts: nothing was looked at in between."""
    with Watch() as watch:
        peak, size = peak_resident_bytes(), 2**27
        more = peak - resident_bytes() + size
        with mmap.mmap(-1, more) as held:
            for page in range(0, more, mmap.PAGESIZE):
                held[page] = 1
    assert watch.bytes > 0.9 * size


def test_bytes_of_files_are_counted_at_every_depth(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").write_bytes(bytes(5))
    (tmp_path / "a" / "b" / "d").write_bytes(bytes(7))
    assert stored_bytes(tmp_path) == 12
