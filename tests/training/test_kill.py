"""A run that is killed (`kill -9`) at any moment goes on as if it had not been, to the last bit.

The short form kills twice. `VFSEG_KILLS=20 pytest -n0 -s tests/training/test_kill.py` is the
full one, and prints where the kills fell.
"""

import functools
import os
import time

import numpy as np

from tests.program import finish, start, wait_until
from tests.training.outcome import assert_same_training, newest
from vfseg.training.writer import read_metrics

KILLS = int(os.environ.get("VFSEG_KILLS", "2"))


def _leftovers(workdir):
    """Folders of a checkpoint that is being written or deleted."""
    return {path.name for path in (workdir / "checkpoints").glob(".*-*")}


def _is_reached(workdir, goal, moment, old):
    """Whether step `goal` is logged and, where asked for, a new folder of that kind stands."""
    lines = read_metrics(workdir / "metrics.jsonl")
    names = " ".join(_leftovers(workdir) - old)
    there = {"saving": ".part" in names, "deleting": ".gone" in names}.get(moment, True)
    return bool(lines) and lines[-1]["step"] >= goal and there


def test_a_run_killed_again_and_again_ends_as_a_straight_one(new_run):
    """Every third kill waits until a checkpoint is being written, every third for a deletion."""
    steps = 3 * (KILLS + 1)
    arguments = ["--config.stages.recurrent=0", f"--config.stages.adversarial={steps}"]
    arguments += ["--config.train.save_every=1", "--config.train.validate_every=10"]
    straight, broken = new_run("straight"), new_run("broken")
    finish(start(straight, *arguments), straight)
    assert newest(straight) == steps

    rng = np.random.default_rng(KILLS)
    for number in range(KILLS):
        process = start(broken, *arguments)
        moment = ("saving", "deleting", "in a step")[number % 3]
        where = (broken, newest(broken) + rng.integers(1, 3), moment, _leftovers(broken))
        wait_until(functools.partial(_is_reached, *where), process)
        time.sleep(rng.uniform(0, 0.05) if moment == "in a step" else rng.uniform(0, 0.005))
        process.kill()
        process.wait()
        print(f"killed {moment}: checkpoint {newest(broken)}, left {_leftovers(broken)}")
    text = finish(start(broken, *arguments), broken)
    assert text.count("resuming at step") >= KILLS
    assert_same_training(broken, straight)
