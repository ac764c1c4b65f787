"""All benchmarks one after the other: what is collected, and what each process took."""

import json
import os

from benchmarks import __main__ as harness


def test_results_of_all_are_collected_and_a_failure_is_said(tmp_path, monkeypatch, capsys):
    table = {"title": "", "rows": []}
    written = {"environment": {"backend": "cpu"}, "device_bytes": None, "tables": [table]}
    took = {"seconds": 1.0, "peak_bytes": 10}
    monkeypatch.setattr(
        harness, "run", lambda name, flags: (None if name == "scaling" else written, took)
    )
    for name in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.setenv(name, "")  # and back again
    file = tmp_path / "new" / "result.json"
    names = ["fusion", "scaling", "augment"]
    assert harness.main(["--quick", "--json", str(file), "--only", *names]) == 1
    assert "failed: scaling" in capsys.readouterr().out
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


def test_the_profile_runs_alone(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(harness, "start", lambda *words: called.append(words) or (0, 1))
    assert harness.main(["--quick", "--profile", str(tmp_path)]) == 0
    assert called == [("profiling", "--quick", "--trace", str(tmp_path))]
