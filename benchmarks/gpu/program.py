"""A whole run of a config, `python -m vfseg.main --config CONFIG`: its time and what it scores.

    python -m benchmarks.gpu.program CONFIG WORKDIR [--device cpu|gpu] [--json FILE]

What stands in the workdir is deleted first, so that the time is that of the whole job; what the run
leaves there is kept. Scores are against synthetic truth.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import command
from benchmarks.environment import environment

SCORES = {"voxel": ("dice", "pr_auc"), "vertebra": ("roc_auc",), "lesion": ("average_precision",)}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the program, prints and writes what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("workdir", type=Path)
    command.add_flags(parser)
    args = parser.parse_args(argv)
    command.choose_device(args.device)
    shutil.rmtree(args.workdir, ignore_errors=True)
    begin = time.perf_counter()
    program = [sys.executable, "-m", "vfseg.main", "--config", args.config]
    subprocess.run([*program, "--workdir", str(args.workdir)], check=True)
    found: dict[str, object] = {"seconds": time.perf_counter() - begin}
    summary = json.loads((args.workdir / "evaluation" / "summary.json").read_text())
    for part, names in SCORES.items():
        found |= {f"{part} {name}": summary[part][name] for name in names}
    lines = map(json.loads, (args.workdir / "metrics.jsonl").read_text().splitlines())
    speeds = [line[key] for line in lines if (key := "train/slices_per_second") in line]
    found["slices per second of training, median"] = float(np.median(speeds))
    if args.json:
        args.json.write_text(json.dumps({"environment": environment(), "found": found}))
    print(f"{args.config}: {found}")


if __name__ == "__main__":
    main()
