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
from collections.abc import Sequence
from typing import Any

import jax

from benchmarks import command, timing, workers
from benchmarks.configs import WINDOWS_PER_STEP, quickstart
from benchmarks.stepper import ADVERSARIAL, Stepper
from vfseg.config.config import Config
from vfseg.processes import together

TARGETS = 4
CHANGES = {"batch": (8, 32), "T": (1, 3, 7), "crop": (64, 32)}  # quick runs take the first of each
PROCESSES = (1, 2)
ROUNDS, QUICK_ROUNDS = 7, 2
STEPS, QUICK_STEPS = 10, 2  # of a process, after the first two


def config_with(what: str, value: int, variant: str) -> Config:
    """The quickstart's config with one thing changed: `batch` in windows, `T`, or `crop`."""
    changes: dict[str, dict[str, Any]] = {
        "batch": {"windows.batch_size": value // TARGETS},
        "T": {"windows.length": value},
        "crop": {"prepare.crop_shape": (value,) * 3},
    }
    return quickstart(TARGETS, variant, changes[what])


def one_process(*, quick: bool) -> timing.Table:
    """Table of the step as it is, and with one thing changed."""
    variant = "tiny" if quick else ""
    plain = quickstart(TARGETS, variant)
    length, edge = plain.windows.length, plain.prepare.crop_shape[0]
    base = f"batch {WINDOWS_PER_STEP}, T {length}, crop {edge}, 1 device"
    competitors, work = {base: Stepper(plain, phase=ADVERSARIAL)}, {base: float(WINDOWS_PER_STEP)}
    for what, values in CHANGES.items():
        for value in values[:1] if quick else values:
            config, name = config_with(what, value, variant), f"{what} {value}"
            competitors[name] = Stepper(config, phase=ADVERSARIAL)
            work[name] = float(config.windows.batch_size * TARGETS)
    many = min(jax.device_count(), plain.windows.batch_size)
    for parallel in ("jit", "pmap") if many > 1 else ():
        name = f"{many} devices, {parallel}"
        competitors[name] = Stepper(plain, phase=ADVERSARIAL, parallel=parallel, devices=many)
        work[name] = float(WINDOWS_PER_STEP)
    return timing.race(
        timing.Task("Training step, one thing changed at a time", work, "windows/s"),
        competitors,
        baseline=base,
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
    title = "Training step, processes joined on loopback, one device each"
    task = timing.Task(title, WINDOWS_PER_STEP, "windows/s")
    return timing.tabulate(task, seconds, baseline=_counted(1))


def joined(count: int, steps: int, variant: str) -> float:
    """Seconds of a step, as the first of several processes sees it.

    Raises:
        SystemExit: one of them failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = [
        subprocess.Popen(
            workers.command("benchmarks.scaling", "worker", address, count, index, steps, variant),
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
    """Joins the others and steps with them; its answer is the median seconds of a step."""
    jax.config.update("jax_num_cpu_devices", 1)
    with together(address, count, index):
        run = Stepper(quickstart(TARGETS, variant), phase=ADVERSARIAL, devices=count)
        workers.answer(timing.median_seconds(run, steps))  # here: `together` ends the process


def _counted(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table for one process and one for two."""
    args = command.arguments(__doc__ or "", argv, cpu_devices=2)
    tables = [one_process(quick=args.quick)]
    if jax.device_count() > 1:
        tables.append(processes(quick=args.quick))
    else:
        print("left out: two processes, each of which needs a device of its own")
    command.publish(tables, args.json)


if __name__ == "__main__":
    main()
