"""A planned config beside one made by hand, trained for the same time on the benchmark cohort.

    python -m benchmarks.studies.plan [--minutes N] [--seeds N ...] [--by-hand CONFIG]
                                      [--workdir DIR] [--json FILE] [--quick]

`vfseg plan` plans the cohort anew, as a user's data would be, and the settings that differ are
printed. Where these are only numbers of steps, in the same proportions, equal time makes both one
and the same training, and there is nothing to measure: so it is on a CPU. Else what a step costs is
measured for both side by side, and each gets as many as fit into the time, its stages in their
proportions. Each
seed trains and evaluates both. Their maps are scored on the same voxels, those that lie in a crop
of either, each at its own threshold from validation; the differences are paired over patients. The
truth is synthetic. Finished runs are kept: the same command goes on.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict
from tqdm import tqdm

from benchmarks.configs import ROOT, read_config
from benchmarks.environment import environment
from benchmarks.studies.ablation.costs import step_seconds
from benchmarks.studies.ablation.runs import is_finished, run_vfseg, trained_steps
from benchmarks.studies.ablation.variants import QUICK
from vfseg.config.config import Config
from vfseg.crops.prepare import place_crops
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.data.geometry import Geometry
from vfseg.data.spine import Spine, read_spine
from vfseg.data.volume import read_geometry, read_labels, read_probability
from vfseg.evaluation.compare import compare_states
from vfseg.evaluation.floors import crop_region
from vfseg.evaluation.measures import States
from vfseg.evaluation.metrics import ScoreHistogram, confusion, merge_bins, three_decimals
from vfseg.training.stages import share_out

RECIPE = "configs/vertebral_fracture.py"
"""From which the plan is derived, as `vfseg plan` does where no config is named."""
PLANNED, BY_HAND = "planned", "by-hand"
SET_BY_TIME = ("stages.", "train.validate_every")
"""Settings that follow from the time that both get."""
FIGURES = ("dice", "pr_auc")


class Contestant(NamedTuple):
    """A config that is trained.

    Attributes:
        file: of it, below `ROOT` or with its full path.
        config: what it holds.
        steps: that fit into the time.
        data: folder of cohort and store.
    """

    file: str
    config: Config
    steps: int
    data: Path


def plan_cohort(workdir: Path, small: Mapping[str, Any]) -> Path:
    """The config that is planned for the cohort, its file; planned unless that was done.

    Args:
        workdir: of the study.
        small: dotted keys that make everything small.
    """
    planned = workdir.resolve() / "planned.py"
    if not planned.exists():
        run_vfseg(RECIPE, workdir / PLANNED, "plan", small, more=("--output", str(planned)))
    return planned


def differences(planned: Config, by_hand: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted keys of the settings that differ -> the value that is planned, and that by hand."""
    ours, theirs = (flatten_dict(one.to_dict(), sep=".") for one in (planned, by_hand))
    return {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]}


def are_one_training(planned: Config, by_hand: Config) -> bool:
    """Whether equal time makes both the same: the same settings, and stages of like proportions."""
    if any(not key.startswith(SET_BY_TIME) for key in differences(planned, by_hand)):
        return False
    as_many = share_out(by_hand.stages.total, planned.stages)
    return all(abs(steps - getattr(by_hand.stages, name)) <= 1 for name, steps in as_many.items())


def contestants(
    files: Mapping[str, str], workdir: Path, minutes: float, small: Mapping[str, Any]
) -> dict[str, Contestant]:
    """Finds the steps of both configs, and has both cohorts ready.

    Args:
        files: of the configs, by name.
        workdir: of the study.
        minutes: of training each.
        small: dotted keys that make everything small.
    """
    data = {name: workdir / name for name in files}
    if not (data[BY_HAND] / "cohort").exists():  # the same settings make the same cases
        shutil.copytree(data[PLANNED] / "cohort", data[BY_HAND] / "cohort")
    configs = {name: read_config(ROOT / file, changes=small) for name, file in files.items()}
    kept = workdir / "seconds.json"  # measured once: the number of steps is to stay
    if not kept.exists():
        kept.write_text(json.dumps(step_seconds(configs, rounds=3 if small else 7)))
    seconds = json.loads(kept.read_text())
    return {
        name: Contestant(
            files[name], configs[name], round(60 * minutes / seconds[name]), data[name]
        )
        for name in files
    }


def train(one: Contestant, seed: int, folder: Path, small: Mapping[str, Any]) -> None:
    """Trains and evaluates with a seed, unless that was done."""
    if is_finished(folder):
        return
    stages = share_out(one.steps, one.config.stages)
    changes = {
        **small,
        **{f"stages.{name}": steps for name, steps in stages.items()},
        "seed": seed,
        "train.validate_every": one.steps,
    }
    folder.mkdir(parents=True, exist_ok=True)
    run_vfseg(one.file, folder, "train", changes, one.data)
    if trained_steps(folder) != one.steps:
        sys.exit(f"{folder}: stopped before its end; the same command continues")
    run_vfseg(one.file, folder, "evaluate", changes, one.data)


def counts(
    folders: Sequence[Path], configs: Sequence[Config], cases: Sequence[Case]
) -> list[States]:
    """What each run predicts of the test cases, counted on the voxels in a crop of any.

    Args:
        folders: workdirs of the runs.
        configs: theirs.
        cases: test cases, with label maps and masks.
    """
    histograms: list[list[np.ndarray]] = [[] for _ in folders]
    for case in tqdm(cases, "score", unit="case", disable=None):
        geometry = read_geometry(case.ct)
        spine = read_spine(case, geometry, configs[0].prepare)
        region = np.any([_region(spine, geometry, config) for config in configs], axis=0)
        assert case.fractures is not None  # a synthetic cohort has masks
        truth = read_labels(case.fractures).array
        for found, folder in zip(histograms, folders):
            path = folder / "predictions" / case.case_id / "probability.nii.gz"
            histogram = ScoreHistogram()
            histogram.add(read_probability(path).array, truth, region)
            found.append(histogram.counts)
    ids, patients = (tuple(getattr(c, key) for c in cases) for key in ("case_id", "patient_id"))
    states = []
    for found, folder in zip(histograms, folders):
        summary = json.loads((folder / "evaluation" / "summary.json").read_text())
        threshold = summary["threshold"]["value"]
        of_run = {
            "voxel/confusion": np.stack([confusion(n, threshold) for n in found]),
            "voxel/bins": merge_bins(np.stack(found)),
        }
        states.append(States(ids, patients, ids, of_run))
    return states


def _region(spine: Spine, geometry: Geometry, config: Config) -> np.ndarray:
    prepare = config.prepare
    crops = place_crops(spine.vertebrae, geometry, prepare)
    return crop_region(crops, prepare.crop_shape, geometry, prepare.voxel_spacing)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a seed and figure."""
    lines = ["| seed | figure | planned | by hand | difference, paired |", "| --- " * 5 + "|"]
    for row in rows:
        figures = [three_decimals(row[key]) for key in ("this", "other", "difference")]
        if row["ci95"]:
            figures[2] += f" [{', '.join(map(three_decimals, row['ci95']))}]"
        lines.append(f"| {row['seed']} | voxel {row['name']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what is not there yet, then prints the table."""
    args = _arguments(argv)
    small = QUICK if args.quick else {}
    files = {PLANNED: str(plan_cohort(args.workdir, small)), BY_HAND: args.by_hand}
    planned, by_hand = (read_config(ROOT / file, changes=small) for file in files.values())
    for key, (ours, theirs) in differences(planned, by_hand).items():
        print(f"config.{key}: {ours} planned, {theirs} by hand")
    if are_one_training(planned, by_hand):
        print("nothing else differs: at equal time both are one and the same training")
        return
    two = contestants(files, args.workdir, args.minutes, small)
    for name, one in two.items():
        print(f"{name}: {one.steps} steps in {args.minutes:g} minutes of training")
    cases, _ = find_cases(two[PLANNED].data / "cohort" / "manifest.csv")
    tested = [case for case in cases if case.split == "test"]
    rows = []
    for seed in args.seeds:
        folders = [args.workdir / f"{name}-{one.steps}-seed{seed}" for name, one in two.items()]
        for folder, one in zip(folders, two.values()):
            train(one, seed, folder, small)
        own, other = counts(folders, [one.config for one in two.values()], tested)
        found = compare_states(own, other, seed=seed)
        rows += [{"seed": seed, **row} for row in found if row["name"] in FIGURES]
    print(
        f"{table(rows)}\n\nSynthetic truth; {len(tested)} test cases, 95 % intervals over patients."
    )
    if args.json:
        steps = {name: one.steps for name, one in two.items()}
        result = {"environment": environment(), "steps": steps, "rows": rows}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.plan", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of training each; default 10")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--by-hand", default="configs/vertebral_fracture.py", metavar="CONFIG")
    parser.add_argument("--workdir", type=Path, default=ROOT / "runs" / "plan")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--quick", action="store_true", help="shows only that everything runs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
