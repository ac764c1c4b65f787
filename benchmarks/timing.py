"""The harness of all benchmarks: competitors side by side, in one run, on the same work.

How a time is taken:

- Every competitor runs a few times first (compilation, caches, allocator), unmeasured.
- A time ends when the results are on the device (`jax.block_until_ready`).
- Rounds, not blocks: every round runs each competitor once, in an order that rotates from round to
  round, so that whatever else the machine does meets all of them alike.
- The ratio to the baseline is taken within each round; the median of the ratios is what counts,
  and the quartiles say how far to trust it.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.prepare import installed
from vfseg.processes import cores

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "monai", "SimpleITK")
PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu"}  # what JAX calls them
if hasattr(os, "getloadavg"):  # before the first process: those it starts would see its own load
    os.environ.setdefault("VFSEG_LOAD_BEFORE", str(os.getloadavg()[0]))
_LOAD_BEFORE = float(os.environ.get("VFSEG_LOAD_BEFORE", 0))


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
    title: str,
    competitors: Mapping[str, Callable[[], Any]],
    *,
    baseline: str,
    work: float | Mapping[str, float],
    unit: str,
    rounds: int,
    warm_up: int = 2,
    remarks: Callable[[str, float], Mapping[str, Any]] | None = None,
) -> Table:
    """Times competitors against each other.

    Args:
        title: what is done, with its sizes.
        competitors: name -> function that does the work once and returns its results.
        baseline: the competitor to which the others are compared.
        work: amount of work in one run, in units of which `unit` is the rate (`GB/s`: GB); of each
            competitor where it differs.
        unit: name of the rate.
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
            begin = time.perf_counter()
            jax.block_until_ready(competitors[names[j]]())
            seconds[i, j] = time.perf_counter() - begin
    medians = zip(names, np.median(seconds, axis=0).tolist())
    return tabulate(
        title,
        dict(zip(names, seconds.T)),
        baseline=baseline,
        work=work,
        unit=unit,
        remarks={name: remarks(name, median) for name, median in medians} if remarks else None,
    )


def tabulate(
    title: str,
    seconds: Mapping[str, Sequence[float] | np.ndarray],
    *,
    baseline: str,
    work: float | Mapping[str, float],
    unit: str,
    remarks: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """The table of times that were taken by turns, in this process or in others.

    Args:
        title: what is done, with its sizes.
        seconds: competitor -> its time in each round.
        baseline: the competitor to which the others are compared.
        work: as in `race`.
        unit: name of the rate.
        remarks: competitor -> what else was measured.
    """
    base = np.asarray(seconds[baseline])
    rows = tuple(
        Row(
            name,
            _quartiles(np.asarray(times)),
            _quartiles(np.asarray(times) / base),
            float((work if isinstance(work, float | int) else work[name]) / np.median(times)),
            tuple(map(float, times)),
            (remarks or {}).get(name, {}),
        )
        for name, times in seconds.items()
    )
    return Table(title, baseline, unit, len(base), rows)


def arguments(
    description: str, argv: Sequence[str] | None = None, *, cpu_devices: int = 1
) -> argparse.Namespace:
    """The flags that all benchmarks share; chooses the device, so call it before anything runs.

    Args:
        description: of the benchmark; its first line is shown.
        argv: the command line, if it is not that of the process.
        cpu_devices: as how many devices JAX shall see a CPU.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    add_flags(parser)
    args = parser.parse_args(argv)
    if cpu_devices > 1:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    choose_device(args.device)
    return args


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`, `--quick` and `--json`."""
    parser.add_argument("--device", choices=PLATFORMS, help="default: the best one JAX finds")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds: seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")


def choose_device(device: str | None) -> None:
    """Makes a device JAX's own, here and in processes that start from here.

    Raises:
        SystemExit: there is none of that kind.
    """
    # Peers and processes of their own compute on the same device: none may take all its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device:
        jax.config.update("jax_platforms", PLATFORMS[device])
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        raise SystemExit(f"--device {device}: JAX finds none here ({error})") from None
    if device and found != device:
        raise SystemExit(f"--device {device}: JAX runs on {found} here")
    if found in PLATFORMS:
        os.environ["JAX_PLATFORMS"] = PLATFORMS[found]


def publish(tables: Sequence[Table], json_file: Path | None) -> None:
    """Prints where it ran and the tables; writes both to a file if one is named."""
    where = environment()
    if (load := where["load_before"]) > 0.5:
        print(f"the machine had a load of {load:.1f} when this began: do not keep these times")
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    for table in tables:
        print(f"\n{table}")
    if json_file:
        memory = jax.devices()[0].memory_stats() or {}  # a CPU keeps none
        result = {
            "environment": where,
            "device_bytes": memory.get("peak_bytes_in_use"),
            "tables": [asdict(table) for table in tables],
        }
        json_file.write_text(json.dumps(result, indent=1) + "\n")


def environment() -> dict[str, Any]:
    """Date, commit, device and versions: what a figure means nothing without."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or None,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "backend": jax.default_backend(),
        "processor": _processor(),
        "load_before": _LOAD_BEFORE,
        "python": platform.python_version(),
        **{package: version for package in PACKAGES if (version := installed(package))},
    }


def _processor() -> str:
    """Cores this process may use and, where the system tells, their name."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return f"{cores()} x {names[0] if names else platform.machine()}"


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return float(low), float(median), float(high)
