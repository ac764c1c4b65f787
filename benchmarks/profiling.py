"""Where the time of a training step goes: a trace, and the ten costliest operations.

    python -m benchmarks.profiling --trace DIR [--device cpu|gpu] [--quick]
    python -m benchmarks --profile DIR    # the same

Five steps of the quickstart's full step (runs of 4 targets, with the discriminator) on random
batches. XProf and TensorBoard's profile plugin open the folder. An operation is what XLA left of
the program after fusing; the layer in its line is where it, or its last part, comes from. Loops and
calls are left out: their parts are counted.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import jax

from benchmarks import timing
from benchmarks.train_step import ADVERSARIAL, Stepper, quickstart

STEPS, SHOWN = 5, 10
_HOLDERS = ("while", "call", "conditional")
_ORIGIN = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]*)"', re.MULTILINE)


def record(run: Stepper, folder: Path) -> Path:
    """Traces a few steps, compiled before; returns the file with the events."""
    jax.block_until_ready(run())
    with jax.profiler.trace(str(folder)):
        for _ in range(STEPS):
            jax.block_until_ready(run())
    return max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)


def operations(trace: Path) -> dict[str, float]:
    """Milliseconds a step of each operation of the compiled step."""
    total: dict[str, float] = defaultdict(float)
    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                name = str(stats.get("hlo_op", ""))
                inside = "train_step" in str(stats.get("hlo_module", ""))
                if name and inside and not name.startswith(_HOLDERS):
                    total[name] += event.duration_ns / 1e6 / STEPS
    return dict(total)


def origins(program: str) -> dict[str, str]:
    """Operation -> where in the model it comes from, from the text of a compiled program.

    >>> origins('  %add.1 = f32[2] add(a, b), metadata={op_name="jit(f)/g/add" source_line=1}')
    {'add.1': 'jit(f)/g/add'}
    """
    return dict(_ORIGIN.findall(program))


def report(cost: dict[str, float], where: dict[str, str]) -> str:
    """The costliest operations, one a line, with their share."""
    total = sum(cost.values())
    lines = [f"{total:.1f} ms of operations a step, summed over threads"]
    for name in sorted(cost, key=lambda name: -cost[name])[:SHOWN]:
        share = f"{100 * cost[name] / total:3.0f} %"
        lines.append(f"{cost[name]:8.2f} ms {share}  {name:32} {where.get(name, '')}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the trace and prints the list."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trace", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", choices=timing.PLATFORMS)
    parser.add_argument("--quick", action="store_true", help="the tiny variant")
    args = parser.parse_args(argv)
    timing.choose_device(args.device)
    run = Stepper(quickstart(4, "tiny" if args.quick else ""), phase=ADVERSARIAL)
    program = run.compiled()
    print(report(operations(record(run, args.trace)), origins(program.as_text() or "")))
    print(f"trace: {args.trace}")


if __name__ == "__main__":
    sys.exit(main())
