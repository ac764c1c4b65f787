"""Compile time: from nothing to the first result, cold and with the compiled program in the cache.

    python -m benchmarks.compile_time [--device cpu|gpu] [--quick] [--json FILE]

Programs of the size of `configs/quickstart.py`: the first step of a training, the step with the
discriminator (the largest program of a training), the predictor. Each is traced, compiled and run
once in a process of its own, which finds JAX's persistent cache empty, or as the process before
left it. Time runs from the call to its result; imports, parameters and data stand ready by then.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.prepare import in_process

STATES = ("cold", "warm")
ROUNDS = 3
MODULE = "benchmarks.compile_time"


def first_step(variant: str) -> Callable[[], Any]:
    """The first step of a training; single slices, no discriminator."""
    from benchmarks.train_step import quickstart, stepper
    from vfseg.training.stages import plan_stages

    config = quickstart(4, variant)
    return stepper(config, phase=plan_stages(config)[0].phase, devices=None)


def adversarial_step(variant: str) -> Callable[[], Any]:
    """The step with the discriminator."""
    from benchmarks.train_step import ADVERSARIAL, quickstart, stepper

    return stepper(quickstart(4, variant), phase=ADVERSARIAL, devices=None)


def predictor(variant: str) -> Callable[[], Any]:
    """The prediction of one crop."""
    import jax
    import numpy as np

    from benchmarks.train_step import quickstart
    from vfseg.inference.model import make_predictor
    from vfseg.training.loop import initial_state

    config = quickstart(4, variant)
    params = jax.device_put(initial_state(config).g_params)
    crop = np.zeros((1, *config.prepare.crop_shape), np.int16)
    run = make_predictor(config)
    return lambda: run.slices(params, crop)


PROGRAMS = {
    "first step": first_step,
    "adversarial step": adversarial_step,
    "predictor": predictor,
}


def worker(name: str, variant: str) -> None:
    """Runs one program once and prints its seconds."""
    import jax

    from vfseg.processes import use_cores

    use_cores()
    run = PROGRAMS[name](variant)
    begin = time.perf_counter()
    jax.block_until_ready(run())
    print(json.dumps(time.perf_counter() - begin))


def measure(*, quick: bool) -> dict[str, list[float]]:
    """Seconds of each program in each state of the cache, round by round."""
    seconds: dict[str, list[float]] = {f"{p}, {s}": [] for p in PROGRAMS for s in STATES}
    for _ in range(1 if quick else ROUNDS):
        for program in PROGRAMS:
            with tempfile.TemporaryDirectory() as cache:
                os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
                for state in STATES:
                    arguments = "--worker", program, "tiny" if quick else ""
                    printed = in_process(*arguments, module=MODULE)
                    seconds[f"{program}, {state}"].append(json.loads(printed))
    return seconds


def main(argv: Sequence[str] | None = None) -> None:
    """Runs all by turns, prints one table."""
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], sys.argv[3])

    from benchmarks import timing

    args = timing.arguments(__doc__ or "", argv)
    size = "of the tiny variant" if args.quick else "of the quickstart's size"
    table = timing.tabulate(
        f"Compiled and run once, programs {size}",
        measure(quick=args.quick),
        baseline=f"{next(iter(PROGRAMS))}, {STATES[0]}",
        work=1.0,
        unit="programs/s",
    )
    timing.publish([table], args.json)
    return None


if __name__ == "__main__":
    main()
