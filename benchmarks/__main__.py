"""All claims about speed, one after the other: `python -m benchmarks`.

    python -m benchmarks [--device cpu|gpu] [--quick] [--json FILE] [--only NAME ...]

Each benchmark runs in a process of its own, so that none inherits threads, memory or compiled
programs of another; what one cannot run here is said, and the others go on. Peers come with
`pip install -e '.[bench]'`. `python -m benchmarks.results_table` makes the README's table from what
`--json` wrote.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import timing

NAMES = (
    "twin_training",
    "twin_inference",
    "train_step",
    "fusion",
    "input_pipeline",
    "prepare",
    "inference",
    "augment",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmarks; 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=_first_line())
    timing.add_flags(parser)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    args = parser.parse_args(argv)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)

    environment: dict[str, Any] = {}
    tables: list[dict[str, Any]] = []
    failed = []
    for name in args.only or NAMES:
        print(f"\n=== {name}", flush=True)
        found = run(name, device=args.device, quick=args.quick)
        if found is None:
            failed.append(name)
            continue
        environment = environment or found["environment"]  # JAX would hold the device's memory
        tables += [{"benchmark": name, **table} for table in found["tables"]]
        if args.json:  # after each, so that an interrupted run leaves something
            result = {"environment": environment, "quick": args.quick, "tables": tables}
            args.json.write_text(json.dumps(result, indent=1) + "\n")
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


def run(name: str, *, device: str | None, quick: bool) -> dict[str, Any] | None:
    """What a benchmark wrote; None if it failed. Its output goes to the screen."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file)]
        command += ["--device", device] if device else []
        command += ["--quick"] if quick else []
        done = subprocess.run(command, check=False)
        return json.loads(file.read_text()) if done.returncode == 0 else None


def _first_line() -> str:
    assert __doc__ is not None
    return __doc__.splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
