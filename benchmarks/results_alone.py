"""The README's second table of speed: figures that no peer is compared with.

Seconds and memory of one whole CT, compile time, scaling, peak memory of every benchmark. Of
several results for a kind of device, each line is taken from the newest one that contains it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

Result = Mapping[str, Any]
Row = Mapping[str, Any]


class Measurement(NamedTuple):
    """A line of the table.

    Attributes:
        claim: what is done.
        benchmark: the script that measures it.
        rows: regular expression for the names of the rows that are shown.
        text: what is shown of a row.
        goal: on two CPU cores.
    """

    claim: str
    benchmark: str
    rows: str
    text: Callable[[Row], str]
    goal: str = ""


def figure(value: float) -> str:
    """A number with three significant digits.

    >>> figure(0.01234), figure(56.78), figure(1234.5)
    ('0.0123', '56.8', '1234')
    """
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def matching(table: Mapping[str, Any], benchmark: str, pattern: str) -> list[Row]:
    """The rows of a benchmark's table whose names match; none if the table is of another one."""
    if table["benchmark"] != benchmark:
        return []
    return [row for row in table["rows"] if re.fullmatch(pattern, row["name"])]


def _seconds(row: Row) -> str:
    """Median time, and the memory if it was measured."""
    peak = row["remarks"].get("peak")
    return f"{figure(row['seconds'][1])} s" + (f", {peak}" if peak else "")


def _cold_or_warm(row: Row) -> str:
    """As `_seconds`, after the last word of the name: "cold" or "warm"."""
    return f"{row['name'].split()[-1]} {_seconds(row)}"


def _rate(row: Row) -> str:
    return f"{row['name']}: {figure(row['rate'])}"


COMPILE_GOAL = "cold ≤ 20 s, warm ≤ 5 s"
MEASUREMENTS = (
    Measurement(
        "One CT of 512x512x1571, from file to report; memory in int16 bytes of the CT",
        "inference",
        "whole program",
        _seconds,
        "≤ 60 s, 2 x CT",
    ),
    Measurement(
        "First step of a training, compiled",
        "compile_time",
        "first .*",
        _cold_or_warm,
        COMPILE_GOAL,
    ),
    Measurement(
        "Step with discriminator, compiled", "compile_time", "adv.*", _cold_or_warm, COMPILE_GOAL
    ),
    Measurement("Predictor, compiled", "compile_time", "predictor.*", _cold_or_warm, COMPILE_GOAL),
    Measurement("Training, windows/s, one thing changed", "scaling", "(?!.*process).*", _rate),
    Measurement("Training, windows/s, processes of one device", "scaling", ".*process.*", _rate),
)


def markdown(results: Iterable[Result], backend: str) -> str:
    """The table of a backend; empty if nothing was measured on it.

    Args:
        results: the newest first.
        backend: "cpu" or "gpu".
    """
    kept = [result for result in results if result["environment"]["backend"] == backend]
    rows = [[line.claim, _found(line, kept), line.goal] for line in MEASUREMENTS]
    rows.append(["Peak memory of the largest process", _peaks(kept), ""])
    if not any(shown for _, shown, _ in rows):
        return ""
    head = ["Without a peer", "measured", "goal on 2 cores" if backend == "cpu" else ""]
    if backend != "cpu":
        rows = [[claim, shown, ""] for claim, shown, _ in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * 3, *rows))


def _found(line: Measurement, results: Iterable[Result]) -> str:
    """The line's figures in the newest result that contains them."""
    for result in results:
        for table in result["tables"]:
            if rows := matching(table, line.benchmark, line.rows):
                return "; ".join(map(line.text, rows))
    return ""


def _peaks(results: Iterable[Result]) -> str:
    """The newest figure for every benchmark; on an accelerator that of its own memory, too."""
    peaks: dict[str, str] = {}
    for result in results:
        for name, process in result["processes"].items():
            text = f"{name} {process['peak_bytes'] / 1e9:.1f}"
            if process["device_bytes"]:
                text += f" + {process['device_bytes'] / 1e9:.1f} on the device"
            peaks.setdefault(name, text)
    return f"GB: {', '.join(peaks.values())}" if peaks else ""
