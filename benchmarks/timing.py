"""Clocks and statistics: competitors side by side, in one run, on the same work.

How a time is taken:

- Every competitor runs a few times first (compilation, caches, allocator), unmeasured.
- A time ends when the results are on the device (`jax.block_until_ready`).
- Rounds, not blocks: every round runs each competitor once, in an order that rotates from round to
  round, so that whatever else the machine does affects all of them alike.
- The ratio to the baseline is taken within each round; the median of the ratios is what counts,
  and the quartiles say how far to trust it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np


class Task(NamedTuple):
    """What all competitors do.

    Attributes:
        title: in words, with its sizes.
        work: how much of it one run does, in units of which `unit` is the rate (`GB/s`: GB); of
            each competitor where it differs.
        unit: name of the rate.
    """

    title: str
    work: float | Mapping[str, float]
    unit: str

    def of(self, name: str) -> float:
        """Work that one run of a competitor does."""
        return self.work if isinstance(self.work, float | int) else self.work[name]


@dataclass(frozen=True)
class Row:
    """One competitor; times in seconds, triples are lower quartile, median, upper quartile.

    Attributes:
        seconds: time of one run.
        ratio: time over the time of the baseline in the same round; below 1 is faster.
        rate: work per second at the median time, in the unit of the table.
        times: seconds of each round; those of one round belong together.
        remarks: what else was measured; printed behind the row.
    """

    name: str
    seconds: tuple[float, float, float]
    ratio: tuple[float, float, float]
    rate: float
    times: tuple[float, ...]
    remarks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Competitors on the same work."""

    title: str
    baseline: str
    unit: str
    rounds: int
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        title = f"{self.title}; {self.rounds} rounds, ratio to {self.baseline}"
        head = f"{'':{width}} {'ms':>9} {'quartiles':>17} {'ratio':>7} {'quartiles':>13}"
        lines = [title, f"{head} {self.unit:>10}"]
        for row in self.rows:
            low, median, high = (1e3 * value for value in row.seconds)
            time, ratio = f"{low:.2f}-{high:.2f}", f"{row.ratio[0]:.2f}-{row.ratio[2]:.2f}"
            lines.append(
                f"{row.name:{width}} {median:9.2f} {time:>17} {row.ratio[1]:7.2f} {ratio:>13}"
                f" {row.rate:10.1f}"
                + "".join(f"  {key} {value}" for key, value in row.remarks.items())
            )
        return "\n".join(lines)


def race(
    task: Task,
    competitors: Mapping[str, Callable[[], Any]],
    *,
    baseline: str,
    rounds: int,
    warm_up: int = 2,
    remarks: Callable[[str, float], Mapping[str, Any]] | None = None,
) -> Table:
    """Times competitors against each other.

    Args:
        task: what each of them does.
        competitors: name -> function that does the work once and returns its results.
        baseline: the competitor to which the others are compared.
        rounds: measured runs of each competitor.
        warm_up: unmeasured runs of each.
        remarks: (name, its median seconds) -> what else is known of a competitor.
    """
    names = list(competitors)
    for name in names:
        for _ in range(warm_up):
            jax.block_until_ready(competitors[name]())
    seconds = np.zeros((rounds, len(names)))
    for i in range(rounds):
        for j in np.roll(np.arange(len(names)), -i):
            seconds[i, j] = _seconds(competitors[names[j]])
    medians = zip(names, np.median(seconds, axis=0).tolist())
    return tabulate(
        task,
        dict(zip(names, seconds.T)),
        baseline=baseline,
        remarks={name: remarks(name, median) for name, median in medians} if remarks else None,
    )


def tabulate(
    task: Task,
    seconds: Mapping[str, Sequence[float] | np.ndarray],
    *,
    baseline: str,
    remarks: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """The table of times that were taken by turns, in this process or in others.

    Args:
        task: what was done.
        seconds: competitor -> its time in each round.
        baseline: the competitor to which the others are compared.
        remarks: competitor -> what else was measured.
    """
    base = np.asarray(seconds[baseline])
    rows = tuple(
        Row(
            name,
            _quartiles(np.asarray(times)),
            _quartiles(np.asarray(times) / base),
            float(task.of(name) / np.median(times)),
            tuple(map(float, times)),
            (remarks or {}).get(name, {}),
        )
        for name, times in seconds.items()
    )
    return Table(task.title, baseline, task.unit, len(base), rows)


def median_seconds(run: Callable[[], Any], rounds: int, warm_up: int = 2) -> float:
    """Median time of so many runs, after some that are not measured."""
    for _ in range(warm_up):
        jax.block_until_ready(run())
    return float(np.median([_seconds(run) for _ in range(rounds)]))


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return float(low), float(median), float(high)
