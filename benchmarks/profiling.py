"""Where the time of a training step goes: a trace, the kinds of operations, the ten costliest.

    python -m benchmarks.profiling --trace DIR [--device cpu|gpu] [--quick]
    python -m benchmarks --profile DIR    # the same

Five steps of the quickstart's full step (runs of 4 targets, with the discriminator) on random
batches. XProf and TensorBoard's profile plugin open the folder. An operation is what XLA left of
the program after fusing; its kind is that of the heaviest part (`KINDS`), and the layer in its line
is where it, or its last part, comes from. Loops and calls are left out: their parts are counted.
"""

import argparse
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import jax

from benchmarks import command
from benchmarks.configs import quickstart
from benchmarks.stepper import ADVERSARIAL, Stepper

STEPS, SHOWN = 5, 10
KINDS = ("convolution", "custom-call", "dot", "reduce", "gather", "scatter", "transpose", "copy")
"""Of operations, the heaviest first; what holds none of them is elementwise."""
_HOLDERS = ("while", "call", "conditional")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) [^\n]*{\n(.*?)^}", re.MULTILINE | re.DOTALL)
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?([\w.-]+) = (?:\(.*?\)|\S+) ([\w-]+)\((.*)$", re.MULTILINE
)
_CALLED = re.compile(r"calls=%?([\w.-]+)")
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
    with warnings.catch_warnings():
        # Python warns of the types that jaxlib makes here; where warnings are errors, that ends
        # the process inside of jaxlib (0.12.0).
        warnings.filterwarnings("ignore", "builtin type .* has no __module__", DeprecationWarning)
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


def kinds(program: str) -> dict[str, str]:
    """Operation -> its kind, from the text of a compiled program: that of what a fusion fuses."""
    parts = {name: _INSTRUCTION.findall(body) for name, body in _COMPUTATION.findall(program)}
    found = {}
    for name, operation, rest in (line for body in parts.values() for line in body):
        called = _CALLED.search(rest)
        inside = {part[1] for part in parts.get(called[1], [])} if called else {operation}
        found[name] = next((kind for kind in KINDS if kind in inside), "elementwise")
    return found


def report(cost: dict[str, float], where: dict[str, str], what: dict[str, str]) -> str:
    """The kinds of operations and the costliest operations, one a line, with their share.

    Args:
        cost: operation -> milliseconds a step.
        where: operation -> where it comes from, see `origins`.
        what: operation -> its kind, see `kinds`.
    """
    total = sum(cost.values())
    lines = [f"{total:.1f} ms of operations a step, summed over threads"]
    of_kind: dict[str, float] = defaultdict(float)
    for name, milliseconds in cost.items():
        of_kind[what.get(name, "elementwise")] += milliseconds
    for kind in sorted(of_kind, key=lambda kind: -of_kind[kind]):
        share = f"{100 * of_kind[kind] / total:3.0f} %"
        lines.append(f"{of_kind[kind]:8.2f} ms {share}  {kind}")
    for name in sorted(cost, key=lambda name: -cost[name])[:SHOWN]:
        share = f"{100 * cost[name] / total:3.0f} %"
        lines.append(f"{cost[name]:8.2f} ms {share}  {name:32} {where.get(name, '')}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the trace and prints the list."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trace", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", choices=command.PLATFORMS)
    parser.add_argument("--quick", action="store_true", help="the tiny variant")
    args = parser.parse_args(argv)
    command.choose_device(args.device)
    run = Stepper(quickstart(4, "tiny" if args.quick else ""), phase=ADVERSARIAL)
    program = run.compiled().as_text() or ""
    print(report(operations(record(run, args.trace)), origins(program), kinds(program)))
    print(f"trace: {args.trace}")


if __name__ == "__main__":
    sys.exit(main())
