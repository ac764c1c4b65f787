"""The race of the package against its twin in PyTorch, beside what the device could do at best."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import limits, timing
from benchmarks.counting import Limits, Work, share


def run(
    title: str,
    competitors: Mapping[str, Callable[[], Any]],
    work: Mapping[str, Work],
    *,
    dtype: str,
    amount: float,
    unit: str,
    args: argparse.Namespace,
) -> None:
    """Measures the limits, times everything, prints and writes it.

    Args:
        title: what is done, with its sizes.
        competitors: name -> function that does it once; those of the package begin with "vfseg".
        work: what each costs.
        dtype: in which the package computes.
        amount: what one run does, in the unit of `unit`.
        unit: of the rates.
        args: of `timing.arguments`.
    """
    tables, measured = limits.measure(quick=args.quick)
    table = timing.race(
        f"{title}, vfseg in {dtype}",
        competitors,
        baseline="vfseg, plain windows",
        work=amount,
        unit=unit,
        rounds=3 if args.quick else 11,
        remarks=remark(work, measured, dtype),
    )
    timing.publish([*tables, table], args.json)
    for name, why in left_out(quick=args.quick).items():
        print(f"left out: {name}: {why}")


def remark(
    work: Mapping[str, Work], measured: Mapping[str, Limits], dtype: str
) -> Callable[[str, float], dict[str, Any]]:
    """What stands behind a row: its operations, and its share of the device's nearer limit."""

    def of(name: str, seconds: float) -> dict[str, Any]:
        reduced = "bfloat16" in name or (name.startswith("vfseg") and dtype == "bfloat16")
        limit = measured["bfloat16" if reduced else "float32"]
        part, nearer = share(work[name], seconds, limit)
        return {
            "GFLOP": round(work[name].operations / 1e9, 2),
            "GB": round(work[name].bytes / 1e9, 2),
            "limit": f"{100 * part:.0f} % of {nearer}",
        }

    return of


def left_out(*, quick: bool) -> dict[str, str]:
    """Modes of the twin that do not run here, and why."""
    if not timing.installed("torch"):
        return {"PyTorch": "not installed (pip install -e '.[bench]')"}
    from benchmarks.torch_modes import available

    return available(quick=quick)[1]
