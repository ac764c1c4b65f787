"""What a training leaves in its workdir: checkpoints, the state in them, the log."""

import jax
import numpy as np

from vfseg.config.config import read_config
from vfseg.config.recipe import initial_state
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.writer import read_metrics


def newest(workdir):
    """Step of the newest checkpoint, or 0."""
    folder = workdir / "checkpoints"
    return (Checkpoints(folder).newest or 0) if folder.is_dir() else 0


def final_state(workdir):
    """Everything in the newest checkpoint, and the index of the next sample."""
    checkpoints = Checkpoints(workdir / "checkpoints")
    step = checkpoints.newest
    restored = checkpoints.restore(step, initial_state(read_config(checkpoints.config(step))))
    return restored.state, restored.next_sample


def assert_same_training(workdir, other):
    """Bitwise: both networks, averages, optimisers, step, key; the place in the data; the log."""
    jax.tree.map(np.testing.assert_array_equal, final_state(workdir), final_state(other))
    assert log_lines(workdir) == log_lines(other)


def log_lines(workdir):
    """What was logged, in order, but for the speed."""
    lines = read_metrics(workdir / "metrics.jsonl")
    return [{name: line[name] for name in line if "slices_per" not in name} for line in lines]


def losses(workdir):
    """Loss of the generator by step."""
    lines = read_metrics(workdir / "metrics.jsonl")
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}
