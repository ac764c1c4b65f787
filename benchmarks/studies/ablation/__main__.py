"""What each part of the recipe is worth: its variants on the benchmark cohort, several seeds each.

Every variant is trained and evaluated by `python -m vfseg.main`: once for as many steps as the full
recipe (equal targets), and once for as long as it takes (equal time, from the cost of a step, which
is measured at the beginning). The last rows of the table are remedies: changes that were to help
ConvLSTM and GAN. The truth is synthetic.

On a CPU all networks have half the channels of `configs/vertebral_fracture.py`, so that a run takes
a few minutes; no variant is evaluated on mirrored slices. The study can be stopped and started
again at any time: finished runs are skipped, and one that was interrupted is continued. The table
shows what is finished.

    python -m benchmarks.studies.ablation [--workdir DIR] [--steps N] [--seeds N] [--jobs N]
                                          [--only NAME ...] [--json FILE] [--quick]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.configs import ROOT
from benchmarks.environment import environment
from benchmarks.studies.ablation import table
from benchmarks.studies.ablation.costs import measured_costs
from benchmarks.studies.ablation.plan import planned
from benchmarks.studies.ablation.runs import in_parallel, prepare_data, run_one
from benchmarks.studies.ablation.variants import VARIANTS


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what is not there yet, then prints the table."""
    args = _arguments(argv)
    if args.jobs < 1:
        sys.exit(f"--jobs {args.jobs}: at least 1")
    steps, seeds = (8, 1) if args.quick else (args.steps, args.seeds)
    names = args.only or list(VARIANTS)
    unknown = set(names) - set(VARIANTS)
    if unknown:
        sys.exit(f"no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    workdir = args.workdir / f"{steps}-steps"
    prepare_data(workdir, quick=args.quick)
    costs = measured_costs(workdir / "costs.json", steps, quick=args.quick)
    plan = list(planned(names, steps, seeds, costs))
    different = {run.folder: run for run in plan}.values()  # equal time may be equal targets
    in_parallel([*different], args.jobs, partial(run_one, workdir=workdir, quick=args.quick))
    rows = table.collect(plan, costs, workdir)
    print(table.markdown(rows))
    if args.json:
        result = {"environment": environment(), "steps": steps, "rows": rows}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.ablation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--workdir", type=Path, default=ROOT / "runs" / "ablation")
    parser.add_argument("--steps", type=int, default=600, help="of every variant; default 600")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every variant; default 3")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; default 1")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these variants only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--quick", action="store_true", help="shows only that everything runs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
