"""Times become a table: rates, and ratios round by round."""

import pytest

from benchmarks.timing import Task, median_seconds, race, tabulate


def test_each_competitor_may_do_another_amount_of_work():
    task = Task("", {"a": 8.0, "b": 4.0}, "windows/s")
    table = tabulate(task, {"a": [2.0], "b": [2.0]}, baseline="a")
    assert [row.rate for row in table.rows] == [4.0, 2.0]


def test_the_ratio_is_taken_round_by_round():
    """2/1, 2/2, 2/4: the median is 1, whatever the medians of the times are."""
    table = tabulate(
        Task("", 8.0, "GB/s"), {"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 2.0]}, baseline="a"
    )
    assert table.rows[1].ratio == (0.75, 1.0, 1.5)
    assert table.rows[1].rate == 4.0


def test_every_round_begins_with_another_competitor():
    ran = []
    competitors = {name: lambda name=name: ran.append(name) for name in "abc"}
    table = race(Task("", 1.0, "runs/s"), competitors, baseline="a", rounds=3, warm_up=1)
    assert "".join(ran) == "abc" + "abc" + "bca" + "cab"
    assert [row.name for row in table.rows] == ["a", "b", "c"]


def test_the_first_runs_are_not_timed(monkeypatch):
    """The clock stands still but in the first two runs."""
    clock, ran = [0.0], []

    def run():
        ran.append(len(ran))
        clock[0] += 100.0 if len(ran) <= 2 else 3.0

    monkeypatch.setattr("benchmarks.timing.time.perf_counter", lambda: clock[0])
    assert median_seconds(run, 5) == pytest.approx(3.0)
    assert len(ran) == 7
