"""The harness around the benchmarks: what it collects, and what each process took."""

import json
import os

import pytest

from benchmarks import __main__ as harness
from benchmarks import compile_time, timing, twin_race
from benchmarks.counting import Limits, Work


def test_results_of_all_are_collected_and_a_failure_is_said(tmp_path, monkeypatch, capsys):
    table = {"title": "", "rows": []}
    written = {"environment": {"backend": "cpu"}, "device_bytes": None, "tables": [table]}
    took = {"seconds": 1.0, "peak_bytes": 10}
    monkeypatch.setattr(
        harness, "run", lambda name, flags: (None if name == "merge" else written, took)
    )
    for name in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.setenv(name, "")  # and back again
    file = tmp_path / "new" / "result.json"
    names = ["fusion", "merge", "augment"]
    assert harness.main(["--quick", "--json", str(file), "--only", *names]) == 1
    assert "failed: merge" in capsys.readouterr().out
    assert json.loads(file.read_text()) == {
        "quick": True,
        "tables": [{"benchmark": name, **table} for name in ("fusion", "augment")],
        "processes": {name: {**took, "device_bytes": None} for name in ("fusion", "augment")},
        "environment": written["environment"],
    }


def test_a_process_tells_its_status_and_its_memory(capfd):
    """Python alone takes a few MB; the module does not exist."""
    status, peak = harness.start("nothing")
    assert status == 1
    assert 2e6 < peak < 1e12
    assert "No module named benchmarks.nothing" in capfd.readouterr().err


def test_every_benchmark_is_there():
    folder = os.path.dirname(harness.__file__)
    assert not [name for name in harness.MINUTES if not os.path.exists(f"{folder}/{name}.py")]


def test_each_competitor_may_do_another_amount_of_work():
    table = timing.tabulate(
        "", {"a": [2.0], "b": [2.0]}, baseline="a", work={"a": 8.0, "b": 4.0}, unit="windows/s"
    )
    assert [row.rate for row in table.rows] == [4.0, 2.0]


def test_a_program_is_cold_in_an_empty_cache_and_warm_in_the_one_it_left(monkeypatch):
    seen = []

    def in_process(flag, program, variant, *, module):
        cache = os.environ["JAX_COMPILATION_CACHE_DIR"]
        seen.append((program, os.listdir(cache)))
        open(os.path.join(cache, program), "w").close()
        return "1.5"

    monkeypatch.setattr(compile_time, "in_process", in_process)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    seconds = compile_time.measure(quick=True)
    assert seen == [x for p in compile_time.PROGRAMS for x in ((p, []), (p, [p]))]
    assert set(map(tuple, seconds.values())) == {(1.5,)}


@pytest.mark.parametrize(
    ("name", "dtype", "limit"),
    [
        ("vfseg, runs", "float32", "50 % of matrix product"),
        ("vfseg, runs", "bfloat16", "25 % of matrix product"),
        ("PyTorch, runs, eager", "bfloat16", "50 % of matrix product"),
        ("PyTorch, runs, bfloat16", "float32", "25 % of matrix product"),
    ],
)
def test_a_row_is_held_against_the_limit_of_its_precision(name, dtype, limit):
    """Half a second of products in float32 or a quarter in bfloat16, done in one."""
    measured = {"float32": Limits(100.0, 1e9), "bfloat16": Limits(200.0, 1e9)}
    remarks = twin_race.remark({name: Work(50.0, 1.0)}, measured, dtype)
    assert remarks(name, 1.0)["limit"] == limit


def test_the_profile_runs_alone(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(harness, "start", lambda *words: called.append(words) or (0, 1))
    assert harness.main(["--quick", "--profile", str(tmp_path)]) == 0
    assert called == [("profiling", "--quick", "--trace", str(tmp_path))]
