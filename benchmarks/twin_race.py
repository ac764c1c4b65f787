"""The package against its twin in PyTorch, and against what the device can do at best."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import command, limits, timing
from benchmarks.counting import Limits, Work, share_of_limit
from benchmarks.environment import installed


def run(
    task: timing.Task,
    competitors: Mapping[str, Callable[[], Any]],
    costs: Mapping[str, Work],
    *,
    dtype: str,
    args: argparse.Namespace,
) -> None:
    """Measures the limits, times everything, prints and writes it.

    Args:
        task: what each of them does.
        competitors: name -> function that does it once; those of the package begin with "vfseg".
        costs: of one run of each.
        dtype: in which the package computes.
        args: of `command.arguments`.
    """
    tables, measured = limits.measure(quick=args.quick)
    table = timing.race(
        task._replace(title=f"{task.title}, vfseg in {dtype}"),
        competitors,
        baseline="vfseg, plain windows",
        rounds=3 if args.quick else 11,
        remarks=remark(costs, measured, dtype),
    )
    command.publish([*tables, table], args.json)
    for name, why in left_out(quick=args.quick).items():
        print(f"left out: {name}: {why}")


def remark(
    costs: Mapping[str, Work], measured: Mapping[str, Limits], dtype: str
) -> Callable[[str, float], dict[str, Any]]:
    """What is printed behind a row: its operations, and how near it comes to the device's limit."""

    def of(name: str, seconds: float) -> dict[str, Any]:
        reduced = "bfloat16" in name or (name.startswith("vfseg") and dtype == "bfloat16")
        limit = measured["bfloat16" if reduced else "float32"]
        part, nearer = share_of_limit(costs[name], seconds, limit)
        return {
            "GFLOP": round(costs[name].operations / 1e9, 2),
            "GB": round(costs[name].bytes / 1e9, 2),
            "limit": f"{100 * part:.0f} % of {nearer}",
        }

    return of


def left_out(*, quick: bool) -> dict[str, str]:
    """Modes of the twin that do not run here, and why."""
    if not installed("torch"):
        return {"PyTorch": "not installed (pip install -e '.[bench]')"}
    from benchmarks.torch_modes import available

    return available(quick=quick)[1]
