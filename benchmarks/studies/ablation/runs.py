"""The runs of the ablation: each is trained and evaluated by `python -m vfseg.main`."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.configs import ROOT, read_config
from benchmarks.studies.ablation.plan import Run
from benchmarks.studies.ablation.variants import CONFIG, QUICK, VARIANTS, variant_changes
from vfseg.commands.memory import check_config_of
from vfseg.training.checkpoints import Checkpoints


def data_of(workdir: Path) -> Path:
    """Folder of cohort and store, which all runs share."""
    return workdir / "data"


def prepare_data(workdir: Path, *, quick: bool = False) -> None:
    """Makes and prepares the cohort, unless that was done."""
    data = data_of(workdir)
    if not (data / "splits.csv").exists():
        run_vfseg(CONFIG, data, "prepare", QUICK if quick else {})


def run_one(run: Run, workdir: Path, *, quick: bool = False) -> None:
    """Trains and evaluates one variant with one seed, unless its result is there.

    Raises:
        UserError: the result is that of other settings.
        SystemExit: the run failed, or was stopped before its end.
    """
    folder, variant = workdir / run.folder, VARIANTS[run.name]
    changes = variant_changes(run.name, run.steps, quick=quick)
    changes |= {"seed": run.seed, "train.validate_every": run.steps}
    if is_finished(folder):
        check_config_of(read_config(ROOT / CONFIG, variant.config, changes), folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    data = data_of(workdir)
    run_vfseg(variant.source, folder, "train", changes, data)
    if trained_steps(folder) != run.steps:
        sys.exit(f"{folder}: stopped before its end; the same command continues")
    run_vfseg(variant.source, folder, "evaluate", changes, data)


def is_finished(folder: Path) -> bool:
    """Whether a run was evaluated."""
    return (folder / "evaluation" / "summary.json").exists()


def trained_steps(folder: Path) -> int | None:
    """Steps of the newest checkpoint; a run that is stopped early also exits with status 0."""
    return Checkpoints(folder / "checkpoints").newest


def run_vfseg(
    config: str,
    workdir: Path,
    mode: str,
    changes: Mapping[str, Any],
    data: Path | None = None,
    more: Sequence[str] = (),
) -> None:
    """Runs the program in one mode.

    Args:
        config: file, below `ROOT` or with its full path, with its variant.
        workdir: of the run.
        mode: of the program.
        changes: dotted config key -> value.
        data: folder of cohort and store; None for the workdir.
        more: flags.

    Raises:
        SystemExit: it failed.
    """
    flags = [
        f"--config.{key}={value if isinstance(value, str) else repr(value)}"
        for key, value in changes.items()
    ]
    command = [sys.executable, "-m", "vfseg.main", "--config", config, "--mode", mode]
    command += ["--workdir", str(workdir.resolve()), *flags, *more]
    command += [] if data is None else ["--data", str(data.resolve())]
    print(" ".join(command), flush=True)
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}  # as the costs of equal time were measured
    if subprocess.run(command, cwd=ROOT, env=env, check=False).returncode:
        sys.exit(f"{workdir}: --mode {mode} failed; see above")


def in_parallel(plan: Sequence[Run], jobs: int, work: Callable[[Run], None]) -> None:
    """Does the runs, several at a time, each on its part of the processor's cores."""
    cores = sorted(os.sched_getaffinity(0))
    parts = [cores[i::jobs] or cores for i in range(jobs)]

    def bind() -> None:  # a thread to its cores, and with it the processes that it starts
        os.sched_setaffinity(0, parts.pop())

    pool = ThreadPoolExecutor(jobs, initializer=bind)
    try:
        for future in [pool.submit(work, run) for run in plan]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
