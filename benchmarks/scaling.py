"""How the training step scales: with batch, window, crop, devices and processes.

    python -m benchmarks.scaling [--device cpu|gpu] [--quick] [--json FILE]

Windows a second of the quickstart's full step (runs of 4 targets, with the discriminator), one
thing changed at a time: windows of a step, slices of a window (T), edge of a crop, devices in one
process (on a CPU: two that share its cores, by jit and by pmap), processes joined on loopback. Each
process has one device, and a CPU's processes share its cores too.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import timing
from benchmarks.train_step import ADVERSARIAL, WINDOWS_PER_STEP, quickstart, stepper

TARGETS = 4
CHANGES = {"batch": (8, 32), "T": (1, 3, 7), "crop": (64, 32)}  # quick runs take the first of each
PROCESSES = (1, 2)
ROUNDS, QUICK_ROUNDS = 7, 2
STEPS, QUICK_STEPS = 10, 2  # of a process, after the first two


def changed(variant: str, what: str = "", value: int = 0) -> ConfigDict:
    """The quickstart's config with one thing changed: `batch` in windows, `T`, or `crop`."""
    config = quickstart(TARGETS, variant)
    if what == "batch":
        config.windows.batch_size = value // TARGETS
    elif what == "T":
        config.windows.length = value
    elif what == "crop":
        config.prepare.crop_shape = (value,) * 3
    return config


def one_process(*, quick: bool) -> timing.Table:
    """Table of the step as it is, and with one thing changed."""
    variant = "tiny" if quick else ""
    plain = changed(variant)
    length, edge = plain.windows.length, plain.prepare.crop_shape[0]
    base = f"batch {WINDOWS_PER_STEP}, T {length}, crop {edge}, 1 device"
    competitors, work = {base: stepper(plain, phase=ADVERSARIAL)}, {base: float(WINDOWS_PER_STEP)}
    for what, values in CHANGES.items():
        for value in values[:1] if quick else values:
            config, name = changed(variant, what, value), f"{what} {value}"
            competitors[name] = stepper(config, phase=ADVERSARIAL)
            work[name] = float(config.windows.batch_size * TARGETS)
    many = min(jax.device_count(), plain.windows.batch_size)
    for parallel in ("jit", "pmap") if many > 1 else ():
        name = f"{many} devices, {parallel}"
        competitors[name] = stepper(plain, phase=ADVERSARIAL, parallel=parallel, devices=many)
        work[name] = float(WINDOWS_PER_STEP)
    return timing.race(
        "Training step, one thing changed at a time",
        competitors,
        baseline=base,
        work=work,
        unit="windows/s",
        rounds=QUICK_ROUNDS if quick else ROUNDS,
    )


def processes(*, quick: bool) -> timing.Table:
    """Table of one process and two, each with one device."""
    variant = "tiny" if quick else ""
    rounds, steps = (1, QUICK_STEPS) if quick else (3, STEPS)
    seconds: dict[str, list[float]] = {_counted(count): [] for count in PROCESSES}
    for _ in range(rounds):
        for count in PROCESSES:
            seconds[_counted(count)].append(joined(count, steps, variant))
    return timing.tabulate(
        "Training step, processes joined on loopback, one device each",
        seconds,
        baseline=_counted(1),
        work=WINDOWS_PER_STEP,
        unit="windows/s",
    )


def joined(count: int, steps: int, variant: str) -> float:
    """Seconds of a step, as the first of several processes sees it.

    Raises:
        SystemExit: one of them failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "benchmarks.scaling", "--worker", address, str(count)]
    started = [
        subprocess.Popen(
            [*command, str(index), str(steps), variant],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": str(index)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"one of {count} processes failed; see above")
    return float(json.loads(printed[0].splitlines()[-1]))


def worker(address: str, count: int, index: int, steps: int, variant: str) -> None:
    """Joins the others, steps with them and prints the median seconds of a step."""
    from vfseg.processes import together

    jax.config.update("jax_num_cpu_devices", 1)
    with together(address, count, index):
        run = stepper(quickstart(TARGETS, variant), phase=ADVERSARIAL, devices=count)
        seconds = []
        for _ in range(steps + 2):
            begin = time.perf_counter()
            jax.block_until_ready(run())
            seconds.append(time.perf_counter() - begin)
        print(json.dumps(float(np.median(seconds[2:]))), flush=True)


def _counted(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table for one process and one for two."""
    if sys.argv[1:2] == ["--worker"]:
        address, count, index, steps, variant = sys.argv[2:7]
        return worker(address, int(count), int(index), int(steps), variant)

    args = timing.arguments(__doc__ or "", argv, cpu_devices=2)
    tables = [one_process(quick=args.quick)]
    if jax.device_count() > 1:
        tables.append(processes(quick=args.quick))
    else:
        print("left out: two processes: each needs a device of its own")
    timing.publish(tables, args.json)
    return None


if __name__ == "__main__":
    main()
