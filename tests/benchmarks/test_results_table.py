"""The table of speed: which rows it compares, which runs it takes, where it is written."""

import json

import pytest

from benchmarks import command, eight_cts, environment, one_ct, results_table, workers
from benchmarks.results_table import (
    BEGIN,
    END,
    Comparison,
    brief,
    markdown,
    outcome,
    read_results,
    write,
)
from benchmarks.timing import Task, tabulate

LINE = Comparison(
    "training", "twin_training", "vfseg, runs of 4", "PyTorch, plain windows, .*", 1.5
)


def result(seconds, backend="cpu", date="2030-01-01", **more):
    """As the harness writes it: one table of these times, 16 windows a run."""
    table = tabulate(Task("", 16.0, "windows/s"), seconds, baseline=next(iter(seconds)))
    plain = json.loads(json.dumps(table, default=vars))
    where = {
        "date": date,
        "backend": backend,
        "processor": "2 x Core",
        "device": "1 x GPU",
        "load_before": 0.1,
    }
    tables = [{"benchmark": "twin_training", **plain}]
    plain = {"quick": False, "processes": {}, **more}
    return {"environment": {**where, "commit": "abc", "jax": "1"}, "tables": tables} | plain


TIMES = {
    "vfseg, runs of 4": [1.0, 2.0, 4.0],
    "PyTorch, plain windows, eager": [9.0, 9.0, 9.0],
    "PyTorch, plain windows, compiled": [3.0, 4.0, 8.0],
    "PyTorch, runs of 4, eager": [0.1, 0.1, 0.1],
}


def test_the_best_peer_counts_round_by_round():
    """3/1, 4/2, 8/4: median 2, quartiles 2 and 2.5; the twin's other form is another line."""
    found = outcome(LINE, [result(TIMES)], "cpu")
    assert found.ratio == (2.0, 2.0, 2.5)
    assert found.peer == "PyTorch, plain windows, compiled: 4 windows/s"
    assert found.rate == "8 windows/s"


def test_lines_of_float32_leave_out_what_computes_in_less():
    times = {**TIMES, "PyTorch, plain windows, compiled, bfloat16": [1.0, 1.0, 1.0]}
    line = LINE._replace(peers=f"PyTorch, plain windows, {results_table.FLOAT32}")
    assert outcome(LINE, [result(times)], "cpu").ratio[1] == 0.5
    assert outcome(line, [result(times)], "cpu") == outcome(LINE, [result(TIMES)], "cpu")


def test_the_newest_run_of_the_device_counts_and_quick_ones_never(tmp_path):
    slower = {**TIMES, "vfseg, runs of 4": [4.0, 4.0, 4.0]}
    for name, one in {
        "a": result(TIMES, date="2030-01-02"),
        "b": result(slower, date="2030-01-03"),
        "c": result(TIMES, date="2030-01-04", quick=True),
        "d": result(TIMES, backend="gpu", date="2030-01-05"),
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(one))
    assert outcome(LINE, read_results(tmp_path), "cpu").rate == "4 windows/s"


def test_a_run_without_the_line_leaves_it_to_an_older_one():
    ours_only = {"vfseg, runs of 4": [1.0]}
    assert outcome(LINE, [result(ours_only), result(TIMES)], "cpu").rate == "8 windows/s"
    assert outcome(LINE, [result(ours_only)], "cpu") is None


def test_what_was_not_measured_has_no_line():
    found = markdown([result(TIMES)])
    assert "| **2.00** (2.00–2.50) |" in found
    assert "2 x Core, jax 1, 2030-01-01, commit abc" in found
    measured = [
        line.claim for line in results_table.COMPARISONS if outcome(line, [result(TIMES)], "cpu")
    ]
    lines = [line for line in found.splitlines()[2:] if line.startswith("| ")]
    assert [line.split(" | ")[0][2:] for line in lines] == measured
    assert "GPU" not in found
    assert markdown([]) == ""


def test_a_table_for_each_kind_of_device_that_was_measured():
    both = markdown([result(TIMES), result(TIMES, backend="gpu")])
    cpu, gpu = both.split("**GPU**")
    assert "2 x Core" in cpu
    assert "1 x GPU" in gpu


def test_the_brief_table_is_what_a_user_feels():
    lines = [line for line in brief([result(TIMES)]).splitlines() if line.startswith("| ")]
    felt = [line for line in results_table.COMPARISONS if line.felt]
    assert len(felt) <= 5
    assert len(lines) == 2 + sum(outcome(x, [result(TIMES)], "cpu") is not None for x in felt)


def test_what_has_no_peer_stands_below_its_device():
    peaks = {"twin_training": {"peak_bytes": 3e9, "device_bytes": None}}
    gpu = result(TIMES, backend="gpu")
    cpu, gpu = markdown([result(TIMES, processes=peaks), gpu]).split("**GPU**")
    assert cpu.index("abc") < cpu.index("| Without a peer | measured |")
    assert "GB: twin_training 3.0" in cpu
    assert "Without a peer" not in gpu


def test_it_is_written_between_the_markers_and_nowhere_else(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold \\1\n{END}\nafter\n")
    for _ in range(2):
        write(readme, "new \\1")
        assert readme.read_text() == f"before\n{BEGIN}\nnew \\1\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END + BEGIN, BEGIN + END + END])
def test_a_file_without_the_markers_is_left_alone(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(SystemExit, match="needs one line"):
        write(readme, "new")
    assert readme.read_text() == text


@pytest.mark.parametrize("script", [one_ct, eight_cts])
def test_with_all_peers_installed_a_script_gives_every_line_that_names_it(
    script, tmp_path, monkeypatch
):
    """The peers do nothing here: what counts is which rows there are, and in which tables."""
    took = {"seconds": 2.0, "bytes": 1e9, "stored": 1e9}
    monkeypatch.setattr(workers, "call", lambda *_: took)
    monkeypatch.setattr(command, "choose_device", lambda _: None)
    for module in (environment, one_ct):
        monkeypatch.setattr(module, "installed", lambda _: "1")
    file = tmp_path / "result.json"
    script.main(["--quick", "--json", str(file)])
    name = script.__name__.split(".")[1]
    written = json.loads(file.read_text())
    written["tables"] = [{"benchmark": name, **table} for table in written["tables"]]
    lines = [line for line in results_table.COMPARISONS if line.benchmark == name]
    assert len(lines) >= 2
    for line in lines:
        assert outcome(line, [written], "cpu").ratio == (1.0, 1.0, 1.0)
