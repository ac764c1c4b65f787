"""All claims about speed, one after the other: `python -m benchmarks`.

    python -m benchmarks [--device cpu|gpu] [--quick] [--json FILE] [--only NAME ...]
    python -m benchmarks --profile DIR    # the costliest operations of a training step, and a trace

Each benchmark runs in a process of its own, so that none inherits threads or memory of another. If
one fails, the others go on, and its name is printed at the end. Programs that several of them time
are compiled once, into a cache that is removed afterwards. The peak resident memory of the largest
process of each is written beside its tables. Peers are installed by `pip install -e '.[bench]'`.
`python -m benchmarks.results_table` makes the README's table from what `--json` wrote.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.memory import peak_of

MINUTES = {
    "twin_training": 6.0,
    "twin_inference": 4.5,
    "train_step": 2.0,
    "fusion": 0.5,
    "input_pipeline": 1.5,
    "prepare": 2.5,
    "inference": 2.0,
    "one_ct": 35.0,
    "eight_cts": 20.0,
    "augment": 0.2,
    "cpu_tricks": 0.7,
    "compile_time": 3.5,
    "scaling": 4.5,
}
"""About what each takes on 2 CPU cores."""
QUICK_MINUTES = 0.4  # each


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmarks; 1 if one of them failed."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=description)
    command.add_flags(parser)
    parser.add_argument(
        "--only", nargs="+", choices=MINUTES, metavar="NAME", help=", ".join(MINUTES)
    )
    parser.add_argument("--profile", type=Path, metavar="DIR", help="trace a training step instead")
    args = parser.parse_args(argv)
    flags = ["--device", args.device] if args.device else []
    flags += ["--quick"] if args.quick else []
    if args.profile:
        return start("profiling", *flags, "--trace", str(args.profile))[0]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
        return collect(args.only or list(MINUTES), flags, quick=args.quick, json_file=args.json)


def collect(
    names: Sequence[str], flags: Sequence[str], *, quick: bool, json_file: Path | None
) -> int:
    """Runs these and writes what they found; 1 if one of them failed."""
    if quick:  # a quick run shows that everything works, not how fast: compiling is most of it
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{given} --xla_backend_optimization_level=0"
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
    minutes = sum(QUICK_MINUTES if quick else MINUTES[name] for name in names)
    plural = "" if len(names) == 1 else "s"
    print(f"{len(names)} benchmark{plural}, about {max(1, minutes):.0f} min on 2 CPU cores")
    result: dict[str, Any] = {"quick": quick, "tables": [], "processes": {}}
    failed = []
    for name in names:
        print(f"\n=== {name}", flush=True)
        found, took = run(name, flags)
        if found is None:
            failed.append(name)
            continue
        result.setdefault("environment", found["environment"])  # its JAX is another process's
        result["tables"] += [{"benchmark": name, **table} for table in found["tables"]]
        result["processes"][name] = {**took, "device_bytes": found["device_bytes"]}
        if json_file:  # after each, so that an interrupted run leaves something
            json_file.write_text(json.dumps(result, indent=1) + "\n")
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


def run(name: str, flags: Sequence[str]) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """What a benchmark wrote, None if it failed; and the seconds and peak bytes it took."""
    with tempfile.TemporaryDirectory() as folder:
        file, begin = Path(folder) / "result.json", time.perf_counter()
        status, peak = start(name, *flags, "--json", str(file))
        took = {"seconds": time.perf_counter() - begin, "peak_bytes": peak}
        print(f"took {took['seconds']:.0f} s and {peak / 1e9:.1f} GB", flush=True)
        return (None if status else json.loads(file.read_text())), took


def start(name: str, *arguments: str) -> tuple[int, int]:
    """Exit status of a benchmark, and the peak bytes of its largest process; prints as it goes."""
    process = subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, peak_of(usage)


if __name__ == "__main__":
    sys.exit(main())
