"""Compile time: from nothing to the first result, cold and with the compiled program in the cache.

    python -m benchmarks.compile_time [--device cpu|gpu] [--quick] [--json FILE]

Programs of the size of `configs/quickstart.py`: the first step of a training, the step with the
discriminator (the largest program of a training), the predictor. Each is traced, compiled and run
once in a process of its own, which finds JAX's persistent cache empty, or as the process before
left it. Time runs from the call to its result; imports, parameters and data are ready by then.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import command, timing, workers
from benchmarks.configs import quickstart
from benchmarks.stepper import ADVERSARIAL, Stepper
from vfseg.config.model import make_predictor
from vfseg.config.recipe import initial_state
from vfseg.processes import use_cores
from vfseg.training.stages import plan_stages

STATES = ("cold", "warm")
ROUNDS = 3


def first_step(variant: str) -> Callable[[], Any]:
    """The first step of a training; single slices, no discriminator."""
    config = quickstart(variant=variant)
    return Stepper(
        config,
        phase=plan_stages(config.stages, frozen=config.pretrained.frozen_scales > 0)[0].phase,
        devices=None,
    )


def adversarial_step(variant: str) -> Callable[[], Any]:
    """The step with the discriminator."""
    return Stepper(quickstart(variant=variant), phase=ADVERSARIAL, devices=None)


def predictor(variant: str) -> Callable[[], Any]:
    """The prediction of one crop."""
    config = quickstart(variant=variant)
    params = jax.device_put(initial_state(config).g_params)
    crop = np.zeros((1, *config.prepare.crop_shape), np.int16)
    run = make_predictor(config)
    return lambda: run.slices(params, crop)


PROGRAMS = {
    "first step": first_step,
    "adversarial step": adversarial_step,
    "predictor": predictor,
}


def worker(name: str, variant: str) -> float:
    """Runs one program once: its seconds."""
    use_cores()
    run = PROGRAMS[name](variant)
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def measure(*, quick: bool) -> dict[str, list[float]]:
    """Seconds of each program in each state of the cache, round by round."""
    seconds: dict[str, list[float]] = {f"{p}, {s}": [] for p in PROGRAMS for s in STATES}
    for _ in range(1 if quick else ROUNDS):
        for program in PROGRAMS:
            with tempfile.TemporaryDirectory() as cache:
                os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
                for state in STATES:
                    arguments = program, "tiny" if quick else ""
                    took = workers.call("benchmarks.compile_time", "worker", *arguments)
                    seconds[f"{program}, {state}"].append(took)
    return seconds


def main(argv: Sequence[str] | None = None) -> None:
    """Runs all by turns, prints one table."""
    args = command.arguments(__doc__ or "", argv)
    size = "of the tiny variant" if args.quick else "of the quickstart's size"
    table = timing.tabulate(
        timing.Task(f"Compiled and run once, programs {size}", 1.0, "programs/s"),
        measure(quick=args.quick),
        baseline=f"{next(iter(PROGRAMS))}, {STATES[0]}",
    )
    command.publish([table], args.json)


if __name__ == "__main__":
    main()
