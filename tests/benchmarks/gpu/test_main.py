"""Rows of a machine that is there for minutes: each ends in time, is kept, and runs once."""

import importlib.util
import json
import time

import pytest

from benchmarks.gpu import __main__ as harness
from benchmarks.gpu.__main__ import Row

SLEEPS = ("tests.benchmarks.gpu.sleeper",)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Runs these rows; returns the status and what was kept."""
    for name in ("JAX_COMPILATION_CACHE_DIR", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.setenv(name, "")  # and back again

    def run(*rows, seconds=60.0):
        monkeypatch.setattr(harness, "rows", lambda **_: list(rows))
        status = harness.main(["--out", str(tmp_path), "--seconds", str(seconds)])
        return status, json.loads((tmp_path / "gpu.json").read_text())

    return run


def test_a_row_that_failed_is_kept_with_its_last_line_and_run_again(measured, capsys, tmp_path):
    """`python -m benchmarks.nothing` says that there is no such module."""
    for _ in range(2):
        status, kept = measured(Row("broken", 30, ("benchmarks.nothing",)))
        assert status == 1
        assert kept["broken"]["status"] == 1
        assert "No module named benchmarks.nothing" in kept["broken"]["last_line"]
    assert capsys.readouterr().out.count("broken: failed (1)") == 2
    assert (tmp_path / "gpu.log").read_text().count("=== broken") == 2


def test_what_is_there_is_not_run_again(measured, capsys):
    row = Row("platform", 30, ("platform", "--terse"))
    assert [measured(row)[0], measured(row)[0]] == [0, 0]
    assert capsys.readouterr().out.count("platform: ok") == 1


@pytest.mark.parametrize("alone", [True, False])
def test_a_row_is_ended_with_its_time(measured, capsys, monkeypatch, alone):
    monkeypatch.setattr(harness, "LEAST_SECONDS", 0.5)
    begin = time.monotonic()
    status, kept = measured(Row("sleeps", 1, SLEEPS, alone), Row("platform", 30, ("platform",)))
    assert status == 1
    assert [kept[name]["status"] for name in ("sleeps", "platform")] == [None, 0]
    assert time.monotonic() - begin < 300  # not the 600 seconds that it sleeps
    assert "sleeps: out of time" in capsys.readouterr().out


def test_without_time_nothing_begins(measured):
    status, kept = measured(Row("sleeps", 600, SLEEPS), seconds=2)
    assert status == 1
    assert kept["sleeps"]["status"] is None
    assert kept["sleeps"]["seconds"] < 2


@pytest.mark.parametrize("rehearse", [True, False])
def test_every_row_names_a_module_and_a_device(tmp_path, rehearse):
    rows = harness.rows(rehearse=rehearse, runs=tmp_path)
    for row in rows:
        assert importlib.util.find_spec(row.command[0]), row.name
        if row.command[0] != "pytest":
            device = row.command[row.command.index("--device") + 1]
            assert device == ("cpu" if rehearse else "gpu")
            assert ("--quick" in row.command) == rehearse
    assert len({row.name for row in rows}) == len(rows)
