"""A small run from nothing to its report, in jobs, and what each of them must leave."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from tests.faults.programs import Counts, counts_of, said_in
from tests.training.outcome import log_lines
from vfseg.config.config import read_config
from vfseg.config.recipe import initial_state
from vfseg.errors import UserError
from vfseg.training.checkpoints import Checkpoints

TINY = (
    *("--config=configs/quickstart.py:tiny", "--config.stages.adversarial=0"),
    "--config.train.save_every=1",  # so that there are two checkpoints
)
JOBS = ("prepare", "train", "run", "predict")
"""In this order; `run` after `train` evaluates and reports."""

_SELDOM_EQUAL = re.compile(
    r"tensorboard/.*|checkpoints/\d+/.*|metrics\.jsonl|\.lock|(.*/)?digests\.json"
)


class Job(NamedTuple):
    """A command.

    Attributes:
        name: one of `JOBS`.
        before: folder as it finds its own.
        after: as it leaves it.
        counts: of a straight run of it.
        evaluated: the folder of the job before, which `predict` reads.
    """

    name: str
    before: Path
    after: Path
    counts: Counts | None = None
    evaluated: Path | None = None

    def arguments(self, folder):
        """Of the command that works in a folder."""
        return command(self.name, folder, self.evaluated)

    def begun(self, folder):
        """A folder as the job finds it."""
        return shutil.copytree(self.before, folder)


def command(mode, folder, evaluated=None):
    """Arguments of the program; an evaluated run is what `predict` takes its model and CT from."""
    if mode != "predict":
        return [*TINY, f"--workdir={folder}", f"--mode={mode}"]
    case = evaluated / "cohort" / "cases" / "test_000"
    return [
        *("--mode=predict", f"--input={case / 'ct.nii.gz'}", f"--output={folder}"),
        *(f"--vertebrae={case / 'vertebrae.nii.gz'}", f"--checkpoint={evaluated / 'checkpoints'}"),
    ]


def straight_run(programs, folder, names=JOBS):
    """Runs the first of the jobs, or all; name -> `Job`."""
    nothing = folder / "none" / "run"
    nothing.mkdir(parents=True)
    jobs, last = {}, nothing
    for name in names:
        before = nothing if name == "predict" else last
        job = Job(name, before, folder / name / "run", evaluated=last)
        job.begun(job.after)
        status = programs.run(job.arguments(job.after), job.after)
        assert status == 0, said_in(job.after)
        last = job.after
        jobs[name] = job._replace(counts=counts_of(last))
    return jobs


def outcome(folder):
    """What a run left, as plain values that are equal where it is the same to the bit.

    But for the times in TensorBoard's events, the speed in the log, and digests of other files.
    """
    files = {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    found = {name: digest for name, digest in files.items() if not _SELDOM_EQUAL.fullmatch(name)}
    if (folder / "metrics.jsonl").exists():
        found["metrics.jsonl"] = log_lines(folder)
    if (folder / "checkpoints").is_dir():
        checkpoints = Checkpoints(folder / "checkpoints")
        for path in (folder / "checkpoints").iterdir():
            if path.name.isdigit():
                found[f"checkpoints/{path.name}"] = _state(checkpoints, int(path.name))
                score = path / "validation.json"
                found[f"{path.name} scored"] = score.exists() and score.read_text()
    return found


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _state(checkpoints, step):
    try:
        template = initial_state(read_config(checkpoints.config(step)))
        restored = checkpoints.restore(step, template)
    except UserError as error:
        return str(error)
    leaves = jax.tree_util.tree_leaves_with_path(restored.state)
    digests = [(str(path), _digest_of_array(leaf)) for path, leaf in leaves]
    return digests, restored.next_sample


def _digest_of_array(leaf):
    return hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest()


def differences(folder, wanted):
    """Names of what is not as wanted (see `outcome`) in a folder."""
    found = outcome(folder)
    names = sorted(found.keys() | wanted.keys())
    return [name for name in names if found.get(name) != wanted.get(name)]
