"""Cases predicted one after the other in one call leave nothing behind in memory.

The short form adds up what Python and NumPy keep, which is the same every time. The long form, with
pictures, looks at the size of the process: `VFSEG_FAULTS=200 pytest -n0 -s
tests/faults/test_growth.py` predicts 200 cases, in a quarter of an hour.
"""

import gc
import os
import tracemalloc

import jax
import numpy as np
import pytest

from benchmarks.memory import resident_bytes
from tests.commands.test_predict import run, save_model, write_case
from vfseg.commands import predict as command
from vfseg.data.cases import COLUMNS

MOST = 10_000
"""Bytes a case may leave: 1 MB a hundred."""

LONG = int(os.environ.get("VFSEG_FAULTS", "0"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def predict_many(tmp_path, checkpoints, monkeypatch, quick_collection):
    """Predicts as many cases in one call; what `measure` says after each of them."""

    def predict_many(count, measure):
        data, found = tmp_path / "data", []
        data.mkdir()
        write_case(data)
        line = "case{0},case{0},case_ct.nii.gz,case_vert.nii.gz,,,,"
        lines = [",".join(COLUMNS), *(line.format(number) for number in range(count))]
        (data / "manifest.csv").write_text("\n".join(lines))
        one = command._predict

        def and_measure(*args):
            one(*args)
            gc.collect()
            found.append(measure())

        monkeypatch.setattr(command, "_predict", and_measure)
        run(data, tmp_path / "out", checkpoints)
        assert len(found) == count
        return np.array(found)

    return predict_many


def test_what_python_and_jax_keep(predict_many, monkeypatch):
    monkeypatch.setattr("vfseg.report.case.draw_case", lambda *_: None)  # slow; in the long form

    def kept():
        tracemalloc.start()  # after the first case, which compiles
        return tracemalloc.get_traced_memory()[0], len(jax.live_arrays())

    try:
        found = predict_many(8, kept)
    finally:
        tracemalloc.stop()
    settled = found[3:]
    assert (settled[-1, 0] - settled[0, 0]) / (len(settled) - 1) < MOST, found[:, 0]
    assert set(np.diff(settled[:, 1])) == {0}, found[:, 1]


if LONG >= 200:  # of fewer cases the slope says little

    def test_the_size_of_the_process(predict_many):
        """Its slope after a fifth of the cases, in which the allocators fill their pools."""
        sizes = predict_many(LONG, resident_bytes)
        settled = sizes[LONG // 5 :]
        slope = np.polyfit(np.arange(len(settled)), settled, 1)[0]
        first, last = sizes[[0, -1]] / 1e6
        print(f"{LONG} cases: {first:.0f} MB after the first, {last:.0f} MB after the last,")
        print(f"{slope * 100 / 1e6:.2f} MB a hundred cases after the first {LONG // 5}")
        assert slope < MOST
