"""What each part of the recipe is worth: its variants on the benchmark cohort, several seeds each.

Every variant is trained and evaluated by `python -m vfseg.main`, once for as many steps as the full
recipe (equal targets) and once for as long as it takes (equal time, from the cost of a step that is
measured at the beginning). Below them stand remedies: changes that were to help ConvLSTM and GAN.
The truth is synthetic.

On a CPU all networks have half the channels of `configs/vertebral_fracture.py`, so that a run takes
a few minutes; no variant is evaluated on mirrored slices. A finished run is skipped, a broken one
continued: stop it and start it again as you like. The table tells what is finished.

    python -m benchmarks.studies.ablation [--workdir DIR] [--steps N] [--seeds N] [--jobs N]
                                  [--only NAME ...] [--json FILE] [--quick]
"""

import argparse
import csv
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import timing
from benchmarks.train_step import stepper
from vfseg.commands.workdir import check_config_of
from vfseg.data.discovery import find_cases
from vfseg.data.volume import read_geometry
from vfseg.evaluation.truth import ACROSS_SLICES
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.loop import initial_state
from vfseg.training.stages import STAGES, plan_stages, total_steps

ROOT = Path(__file__).parent.parent
CONFIG = "configs/vertebral_fracture.py"
RULES = ("targets", "time")
COMMON = {"inference.flips": False}
QUICK = {
    "phantom.train": 2,
    "phantom.validation": 1,
    "phantom.test": 1,
    "phantom.levels": ("L1", "L2"),
    "phantom.levels_per_case": (2, 2),
    "phantom.fracture_probability": 0.9,
    "phantom.orientations": ("RAS",),
    "generator.features": (4, 8, 8, 16),
    "generator.recurrent_features": 4,
    "discriminator.features": (4, 8),
}
"""Config keys at a size that only shows that everything runs."""


class Variant(NamedTuple):
    """A row of the table.

    Attributes:
        config: variant of `CONFIG`.
        overrides: dotted config keys that differ from it.
        equal_time: whether it is also trained for as long as the full recipe takes.
    """

    config: str
    overrides: Mapping[str, Any]
    equal_time: bool = True


EARLY = {
    "stages.recurrent": 1,
    "stages.adversarial": 1,  # as many steps
    "losses.adversarial": 0.5,
    "train.discriminator_learning_rate": 4e-3,
}
"""The discriminator comes while the generator still learns fast, with a rate to catch up by."""
VARIANTS = {
    "U-Net, 1 slice": Variant("unet", {}),
    "+ attention": Variant("attention", {}),
    "+ ConvLSTM, 5 slices": Variant("convlstm", {}),
    "+ GAN": Variant("gan", {}),
    "full recipe": Variant("", {}, equal_time=False),
    "light": Variant("light", {}),
    "ConvLSTM: 3 scales, bidirectional": Variant(
        "convlstm",
        {"generator.recurrent_scales": (1, 2, 3), "generator.bidirectional": True},
        equal_time=False,
    ),
    "ConvLSTM: stride 2.5 mm": Variant("convlstm", {"windows.stride_mm": 2.5}, equal_time=False),
    "GAN: half of the steps, weight 0.5": Variant("gan", EARLY, equal_time=False),
    "GAN: the same, least squares": Variant(
        "gan", {**EARLY, "losses.adversarial_form": "least_squares"}, equal_time=False
    ),
    "sagittal slices only, 1 slice": Variant(
        "attention", {"windows.planes": ("sagittal",)}, equal_time=False
    ),
    "sagittal slices only, 5 slices": Variant(
        "convlstm", {"windows.planes": ("sagittal",)}, equal_time=False
    ),
}
"""Rows of the table. The last two show what neighbours are worth where no other plane helps."""


class Run(NamedTuple):
    """A training with its evaluation.

    Attributes:
        name: of the variant.
        rule: one of `RULES`.
        steps: in all.
        seed: of data order and parameters.
    """

    name: str
    rule: str
    steps: int
    seed: int


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
    small = QUICK if args.quick else {}
    data = workdir / "data"
    if not (data / "splits.csv").exists():
        _vfseg(CONFIG, data, "prepare", small)
    costs = measured_costs(workdir / "costs.json", steps, small)
    plan = list(planned(names, steps, seeds, costs))
    different = {_folder(workdir, run): run for run in plan}  # equal time may be equal targets
    in_parallel([*different.values()], args.jobs, lambda run: run_one(run, workdir, data, small))
    rows = _rows(plan, costs, workdir)
    print(table(rows))
    if args.json:
        result = {"environment": timing.environment(), "steps": steps, "rows": rows}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def planned(
    names: Sequence[str], steps: int, seeds: int, costs: Mapping[str, Mapping[str, float]]
) -> Iterator[Run]:
    """All runs: those of equal targets for every seed, then those of equal time."""
    for rule in RULES:
        for seed in range(seeds):
            for name in names:
                if rule == "targets":
                    yield Run(name, rule, steps, seed)
                elif VARIANTS[name].equal_time:
                    yield Run(name, rule, _steps_of_equal_time(name, steps, costs), seed)


def in_parallel(plan: Sequence[Run], jobs: int, work: Any) -> None:
    """Does the runs, several at a time, each on its share of the processor's cores."""
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores[i::jobs] or cores for i in range(jobs)]

    def bind() -> None:  # a thread's cores, and those of the processes it starts
        os.sched_setaffinity(0, shares.pop())

    pool = ThreadPoolExecutor(jobs, initializer=bind)
    try:
        for future in [pool.submit(work, run) for run in plan]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def variant_changes(name: str, small: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted config keys of a variant that differ from its config, its size included."""
    variant = VARIANTS[name]
    generator = _config(variant.config).generator
    size: dict[str, Any] = {}
    if not small and jax.default_backend() == "cpu":
        size["generator.features"] = tuple(count // 2 for count in generator.features)
        size["generator.recurrent_features"] = generator.recurrent_features // 2
    return {**COMMON, **size, **small, **variant.overrides}


def variant_config(name: str, steps: int, small: Mapping[str, Any]) -> ConfigDict:
    """The config of a variant, its stages scaled to so many steps in all."""
    config = _config(VARIANTS[name].config)
    config.update_from_flattened_dict(variant_changes(name, small))
    whole = total_steps(config)
    ends = np.cumsum([config.stages[stage] for stage in STAGES]) * steps / whole
    parts = np.diff(np.round(ends).astype(int), prepend=0)
    for stage, part in zip(STAGES, parts):
        config.stages[stage] = int(part)
    return config


def _config(variant: str) -> ConfigDict:
    return runpy.run_path(str(ROOT / CONFIG))["get_config"](variant)


def run_one(run: Run, workdir: Path, data: Path, small: Mapping[str, Any]) -> None:
    """Trains and evaluates one variant with one seed, unless its result stands."""
    folder, config = _folder(workdir, run), variant_config(run.name, run.steps, small)
    config.seed, config.train.validate_every = run.seed, run.steps
    if (folder / "evaluation" / "summary.json").exists():
        check_config_of(config, folder)  # it may have been finished with other settings
        return
    folder.mkdir(parents=True, exist_ok=True)
    for shared in ("cohort", "store", "splits.csv"):
        if not (folder / shared).exists():
            (folder / shared).symlink_to((data / shared).resolve())
    changes = variant_changes(run.name, small)
    changes |= {f"stages.{stage}": config.stages[stage] for stage in STAGES}
    changes |= {"seed": run.seed, "train.validate_every": run.steps}
    source = f"{CONFIG}:{VARIANTS[run.name].config}".rstrip(":")
    _vfseg(source, folder, "train", changes)
    if trained_steps(folder) != run.steps:
        sys.exit(f"{folder}: stopped before its end; the same command continues")
    _vfseg(source, folder, "evaluate", changes)


def trained_steps(run: Path) -> int | None:
    """Steps of the newest checkpoint of a run: a run that is asked to stop ends well, too."""
    return Checkpoints(run / "checkpoints").newest


def measured_costs(file: Path, steps: int, small: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Milliseconds of a mean step of each variant, its windows and its parameters.

    Measured once, side by side, and kept, so that the steps of equal time stay the same; measured
    anew where a config has changed. Stages of variants that compute the same share a measurement.
    """
    configs = {name: variant_config(name, steps, small) for name in VARIANTS}
    wanted = json.loads(json.dumps({name: c.to_dict() for name, c in configs.items()}))
    kept = json.loads(file.read_text()) if file.exists() else {}
    if kept.get("configs") == wanted:
        return kept["costs"]
    competitors, first, timed_as = {}, {}, {}
    for name, config in configs.items():
        for stage in plan_stages(config):
            parts = (config.generator, config.discriminator, config.losses, config.windows)
            work = repr((*(part.to_dict() for part in parts), stage.phase))
            if work not in first:
                first[work] = f"{name} {stage.name}"
                competitors[first[work]] = stepper(config, phase=stage.phase)
            timed_as[name, stage.name] = first[work]
    race = timing.race(
        "cost of a step",
        competitors,
        baseline=next(iter(competitors)),
        work=1,
        unit="steps/s",
        rounds=3 if small else 7,
    )
    print(race)
    seconds = {row.name: row.seconds[1] for row in race.rows}
    costs = {}
    for name, config in configs.items():
        mean = sum(
            (s.last - s.first) / total_steps(config) * seconds[timed_as[name, s.name]]
            for s in plan_stages(config)
        )
        windows = config.windows.batch_size * config.windows.targets
        params = jax.tree.leaves(initial_state(config).g_params)
        costs[name] = {
            "ms_per_step": 1e3 * mean,
            "ms_per_slice": 1e3 * mean / windows,
            "parameters": sum(leaf.size for leaf in params),
        }
    file.write_text(json.dumps({"configs": wanted, "costs": costs}, indent=1))
    return costs


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown: mean and standard deviation over the seeds."""
    head = "| variant | equal | steps | parameters | ms/slice | voxel Dice | voxel PR-AUC |"
    head += " across slices | by volume quartile, smallest first | by voxel volume, finest first |"
    head += " seeds |"
    lines = [head, "|" + " --- |" * 11]
    for row in rows:
        lines.append(
            f"| {row['variant']} | {row['equal']} | {row['steps']} | {row['parameters']:,} "
            f"| {row['ms_per_slice']:.1f} | {_spread(row['dice'])} | {_spread(row['pr_auc'])} "
            f"| {_spread(row['recall_across_slices'])} "
            f"| {_means(row['recall_by_volume'])} | {_means(row['dice_by_spacing'])} "
            f"| {len(row['dice'])} |"
        )
    lines.append(
        "\nMean ± standard deviation over the seeds; synthetic truth. `across slices`: voxel "
        "recall of fractures that no sagittal slice shows; `by volume`: voxel recall; `by voxel "
        "volume`: Dice of a case; `ms/slice`: of training, per target slice."
    )
    return "\n".join(lines)


def _rows(
    plan: Sequence[Run], costs: Mapping[str, Mapping[str, float]], workdir: Path
) -> list[dict[str, Any]]:
    """A row for each variant and rule of which at least one run is finished."""
    done: dict[tuple[str, str], list[Run]] = {}
    for run in plan:
        if (_folder(workdir, run) / "evaluation" / "summary.json").exists():
            done.setdefault((run.name, run.rule), []).append(run)
    rows = []
    order = {name: place for place, name in enumerate(VARIANTS)}
    for name, rule in sorted(done, key=lambda row: (order[row[0]], RULES.index(row[1]))):
        folders = [_folder(workdir, run) for run in done[name, rule]]
        summaries = [json.loads((f / "evaluation" / "summary.json").read_text()) for f in folders]
        sizes = [s["by_size"] for s in summaries]
        rows.append(
            {
                "variant": name,
                "equal": rule,
                "steps": done[name, rule][0].steps,
                "parameters": int(costs[name]["parameters"]),
                "ms_per_slice": costs[name]["ms_per_slice"],
                "dice": [s["voxel"]["dice"]["value"] for s in summaries],
                "pr_auc": [s["voxel"]["pr_auc"]["value"] for s in summaries],
                "recall_across_slices": [
                    s["by_pattern"].get(ACROSS_SLICES, {}).get("voxel_recall", {}).get("value")
                    for s in summaries
                ],
                "recall_by_volume": [
                    [size[quartile]["voxel_recall"]["value"] for size in sizes]
                    for quartile in sizes[0]
                ],
                "dice_by_spacing": list(zip(*(_dice_by_spacing(folder) for folder in folders))),
            }
        )
    return rows


def _dice_by_spacing(run: Path) -> list[float]:
    """Mean Dice of the cases in three groups of equal size, finest voxels first."""
    with open(run / "evaluation" / "cases.csv", newline="") as file:
        dice = {row["case_id"]: float(row["dice"] or "nan") for row in csv.DictReader(file)}
    cases, _ = find_cases(run / "cohort" / "manifest.csv")
    volume = {
        case.case_id: float(np.prod(read_geometry(case.ct).voxel_spacing))
        for case in cases
        if case.case_id in dice
    }
    groups = np.array_split(sorted(volume, key=volume.__getitem__), min(3, len(volume)))
    return [float(np.nanmean([dice[str(case)] for case in group])) for group in groups]


def _steps_of_equal_time(name: str, steps: int, costs: Mapping[str, Mapping[str, float]]) -> int:
    """Steps in the time of the full recipe; the same steps where that differs by less than 20 %."""
    ratio = costs["full recipe"]["ms_per_step"] / costs[name]["ms_per_step"]
    return steps if abs(ratio - 1) < 0.2 else round(steps * ratio)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else ""
    return f"{np.mean(known):.3f}{spread}"


def _means(groups: Sequence[Sequence[float | None]]) -> str:
    return ", ".join(_spread(group).split(" ")[0] for group in groups)


def _folder(workdir: Path, run: Run) -> Path:
    words = "".join(letter if letter.isalnum() else " " for letter in run.name.lower()).split()
    return workdir / f"{'-'.join(words)}-{run.steps}-seed{run.seed}"


def _vfseg(config: str, workdir: Path, mode: str, overrides: Mapping[str, Any]) -> None:
    changes = [
        f"--config.{key}={value if isinstance(value, str) else repr(value)}"
        for key, value in overrides.items()
    ]
    command = [sys.executable, "-m", "vfseg.main", "--config", config, "--mode", mode]
    command += ["--workdir", str(workdir.resolve()), *changes]
    print(" ".join(command), flush=True)
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}  # as the costs of equal time were measured
    if subprocess.run(command, cwd=ROOT, env=env, check=False).returncode:
        sys.exit(f"{workdir}: --mode {mode} failed; see above")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
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
