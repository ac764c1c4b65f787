"""The README's second table of speed: what has no peer.

Seconds and memory of one whole CT, compile time, scaling, peak memory of every benchmark. Of
several results for a kind of device the newest that holds a line counts.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

Result = Mapping[str, Any]
Row = Mapping[str, Any]


class Alone(NamedTuple):
    """A line.

    Attributes:
        claim: what is done.
        benchmark: where it is measured.
        rows: pattern of the rows that are shown, one after the other.
        shown: what is said of a row.
        goal: aimed at on two CPU cores.
    """

    claim: str
    benchmark: str
    rows: str
    shown: Callable[[Row], str]
    goal: str = ""


def figure(rate: float) -> str:
    """Three significant places.

    >>> figure(0.01234), figure(56.78), figure(1234.5)
    ('0.0123', '56.8', '1234')
    """
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def matching(table: Mapping[str, Any], benchmark: str, pattern: str) -> list[Row]:
    """The rows of a benchmark's table whose names match, in their order."""
    if table["benchmark"] != benchmark:
        return []
    return [row for row in table["rows"] if re.fullmatch(pattern, row["name"])]


def _seconds(row: Row) -> str:
    """Median, and the memory where it was measured."""
    peak = row["remarks"].get("peak")
    return f"{figure(row['seconds'][1])} s" + (f", {peak}" if peak else "")


def _last_word(row: Row) -> str:
    """As `_seconds`, with the last word of the name."""
    return f"{row['name'].split()[-1]} {_seconds(row)}"


def _rate(row: Row) -> str:
    return f"{row['name']}: {figure(row['rate'])}"


COMPILED = "cold ≤ 20 s, warm ≤ 5 s"
LINES = (
    Alone(
        "One CT of 512x512x1571, from file to report; memory in int16 bytes of the CT",
        "inference",
        "whole program",
        _seconds,
        "≤ 60 s, 2 x CT",
    ),
    Alone("First step of a training, compiled", "compile_time", "first .*", _last_word, COMPILED),
    Alone("Step with discriminator, compiled", "compile_time", "adv.*", _last_word, COMPILED),
    Alone("Predictor, compiled", "compile_time", "predictor.*", _last_word, COMPILED),
    Alone("Training, windows/s, one thing changed", "scaling", "(?!.*process).*", _rate),
    Alone("Training, windows/s, processes of one device", "scaling", ".*process.*", _rate),
)


def markdown(results: Iterable[Result], backend: str) -> str:
    """The table of a backend; empty where nothing was measured."""
    kept = [result for result in results if result["environment"]["backend"] == backend]
    rows = [[line.claim, _found(line, kept), line.goal] for line in LINES]
    rows.append(["Peak memory of the largest process", _peaks(kept), ""])
    if not any(shown for _, shown, _ in rows):
        return ""
    head = ["Without a peer", "measured", "goal on 2 cores" if backend == "cpu" else ""]
    if backend != "cpu":
        rows = [[claim, shown, ""] for claim, shown, _ in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * 3, *rows))


def _found(line: Alone, results: Iterable[Result]) -> str:
    """Of the newest result that holds it."""
    for result in results:
        for table in result["tables"]:
            if rows := matching(table, line.benchmark, line.rows):
                return "; ".join(map(line.shown, rows))
    return ""


def _peaks(results: Iterable[Result]) -> str:
    """Of every benchmark, the newest; on an accelerator its memory too."""
    peaks: dict[str, str] = {}
    for result in results:
        for name, process in result["processes"].items():
            text = f"{name} {process['peak_bytes'] / 1e9:.1f}"
            if process["device_bytes"]:
                text += f" + {process['device_bytes'] / 1e9:.1f} on the device"
            peaks.setdefault(name, text)
    return f"GB: {', '.join(peaks.values())}" if peaks else ""
