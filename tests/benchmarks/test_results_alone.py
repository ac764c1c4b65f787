"""The table of figures without a peer, from made-up results."""

from benchmarks.results_alone import MEASUREMENTS, markdown


def row(name, seconds=1.0, rate=1.0, **remarks):
    return {"name": name, "seconds": [seconds] * 3, "rate": rate, "remarks": remarks}


def result(backend="cpu", device_bytes=None, **tables):
    """A run with one table a benchmark."""
    return {
        "environment": {"backend": backend},
        "tables": [{"benchmark": name, "rows": rows} for name, rows in tables.items()],
        "processes": {name: {"peak_bytes": 25e8, "device_bytes": device_bytes} for name in tables},
    }


FULL = {
    "inference": [row("whole program", 19.3, peak="1.60 x CT"), row("after imports", 15.0)],
    "compile_time": [
        row("first step, cold", 12.04),
        row("first step, warm", 2.5),
        row("predictor, cold", 3.0),
    ],
    "scaling": [row("batch 8", rate=41.23), row("2 devices, jit", rate=123.4)],
}
PROCESSES = [row("1 process", rate=40.0), row("2 processes", rate=50.0)]


def lines(results, backend="cpu"):
    """Claim -> what stands in the two other columns."""
    cells = [line.split("|")[1:-1] for line in markdown(results, backend).splitlines()]
    return {first.strip(): [cell.strip() for cell in others] for first, *others in cells}


def test_every_line_says_what_was_measured_and_what_was_aimed_at():
    full = result(**FULL)
    full["tables"].append({"benchmark": "scaling", "rows": PROCESSES})
    claims = [line.claim for line in MEASUREMENTS]
    found = lines([full])
    whole, first, _, predictor, scaling, processes = (found[claim] for claim in claims)
    assert whole == ["19.3 s, 1.60 x CT", "≤ 60 s, 2 x CT"]
    assert first == ["cold 12 s; warm 2.5 s", "cold ≤ 20 s, warm ≤ 5 s"]
    assert predictor[0] == "cold 3 s"
    assert scaling[0] == "batch 8: 41.2; 2 devices, jit: 123"
    assert processes[0] == "1 process: 40; 2 processes: 50"
    memory = "GB: inference 2.5, compile_time 2.5, scaling 2.5"
    assert found["Peak memory of the largest process"][0] == memory


def test_the_newest_result_that_holds_a_line_counts():
    newer = result(inference=[row("whole program", 10.0)])
    found = lines([newer, result(**FULL)])
    assert found[MEASUREMENTS[0].claim][0] == "10 s"
    assert found[MEASUREMENTS[1].claim][0].startswith("cold 12 s")


def test_an_accelerator_has_memory_of_its_own_and_no_goals_of_a_cpu():
    found = lines([result("gpu", 4e9, **FULL)], "gpu")
    assert found["Peak memory of the largest process"][0].startswith("GB: inference 2.5 + 4.0 on")
    assert not any(goal for _, goal in list(found.values())[2:])


def test_nothing_measured_is_no_table():
    assert markdown([result(**FULL)], "gpu") == ""
