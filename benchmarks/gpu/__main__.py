"""Every figure about a GPU, by one command, on a machine that is there for minutes.

    benchmarks/gpu.sh [--wheels DIR] --out DIR [--rehearse] [--seconds N] [--together]
                      [--only NAME ...]

First what a GPU can break, side by side: tests, gradients, the quickstart; then the rows that are
timed, one after the other, those that matter most before the others. Each runs in a process of its
own with a limit of time of its own, prints one line when it ends, and is kept at once in
`DIR/gpu.json`; what is there already is not run again, so that a second call goes on where the
first one was cut off. What the processes print goes to `DIR/gpu.log`, and what whole programs leave
to `DIR/runs`.

`--rehearse` runs the same commands at small sizes on a CPU, and writes `rehearsal.json`.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from vfseg.processes import cores

TESTS = (
    *("tests/models", "tests/inference", "tests/crops/test_augment.py"),
    *(f"tests/training/test_{name}.py" for name in ("losses", "adam", "adversary", "step")),
    *(f"tests/training/test_{name}.py" for name in ("parallel", "loop", "checkpoints", "kill")),
)
"""What a GPU can break: networks, losses, the step under jit and pmap, resuming, prediction."""
LEAST_SECONDS = 5.0
"""With less left, nothing begins."""
PLAIN = ("-v", "-p", "no:benchmark")
"""The plugin pytest-benchmark warns where tests run side by side, and a warning is an error."""
SEVERAL_DEVICES = "not four_devices and not split_over_devices"


class Row(NamedTuple):
    """Something that is measured.

    Attributes:
        name: key in the results.
        seconds: limit of time.
        command: after `python -m`; it gets `--json FILE`, tests excepted.
        alone: whether nothing else runs meanwhile.
    """

    name: str
    seconds: float
    command: tuple[str, ...]
    alone: bool = True


def rows(*, rehearse: bool, runs: Path) -> list[Row]:
    """What is measured, in order.

    Args:
        rehearse: at small sizes, on a CPU.
        runs: folder in which whole programs work; one row goes on with what another one left.
    """
    device = "cpu" if rehearse else "gpu"
    sizes = [(32, 4, 2)] if rehearse else [(48, 16, 4), (256, 64, 16), (48, 16, 64), (256, 64, 64)]
    variant = ":tiny" if rehearse else ""
    flags = ("--device", device, *(["--quick"] if rehearse else []))
    tests = TESTS[2:3] if rehearse else TESTS
    workers = str(max(1, cores() - 4))
    training = [
        Row(
            f"training {side}x{side}, {features} features, {number} runs of 4",
            *(150, ("benchmarks.gpu.training", *map(str, (side, features, number)), *flags)),
        )
        for side, features, number in sizes
    ]

    def program(name: str, seconds: float, *, alone: bool) -> Row:
        config = f"configs/{name}.py" + (variant if name == "quickstart" else "")
        command = ("benchmarks.gpu.program", config, str(runs / name), *flags)
        return Row(name, seconds, command, alone)

    found = [
        Row("tests", 240, ("pytest", *PLAIN, *tests, "-n", workers, "-k", SEVERAL_DEVICES), False),
        Row("agreement", 120, ("benchmarks.gpu.agreement", *flags), False),
        program("quickstart", 240, alone=False),
        *training[:2],
        Row("fusion", 90, ("benchmarks.fusion", *flags)),
        Row("prediction", 150, ("benchmarks.gpu.prediction", *flags)),
        Row("feeding", 90, ("benchmarks.gpu.feeding", str(runs / "quickstart"), *flags)),
        *training[2:],
    ]
    return found if rehearse else [*found, program("vertebral_fracture", 400, alone=True)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is not there yet; 1 if something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the results")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, on a CPU")
    parser.add_argument(
        "--together", action="store_true", help="all at once, for what is not timed"
    )
    parser.add_argument("--seconds", type=float, default=1e9, help="when to stop")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows that begin so")
    args = parser.parse_args(argv)
    end = time.monotonic() + args.seconds
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / ("rehearsal.json" if args.rehearse else "gpu.json")
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    runs = args.out.resolve() / "runs"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(runs / "compiled"))
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if args.rehearse:  # which shows that everything works, and mostly compiles
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0"
    wanted = [
        row
        for row in rows(rehearse=args.rehearse, runs=runs)
        if not args.only or row.name.startswith(tuple(args.only))
    ]
    missing = [row for row in wanted if kept.get(row.name, {}).get("status") != 0]
    for alone in (False, True):
        several = [row for row in missing if (row.alone and not args.together) == alone]
        with ThreadPoolExecutor(1 if alone else max(1, len(several))) as pool:
            work = [pool.submit(run, row, end, rehearse=args.rehearse) for row in several]
            for future in as_completed(work):
                row, found, said = several[work.index(future)], *future.result()
                kept[row.name] = found
                file.write_text(json.dumps(kept, indent=1) + "\n")
                with open(args.out / "gpu.log", "a") as log:
                    log.write(f"\n=== {row.name}\n{said}\n")
    return 1 if any(kept[row.name]["status"] != 0 for row in missing) else 0


def run(row: Row, end: float, *, rehearse: bool) -> tuple[dict[str, Any], str]:
    """Runs a row in a process group of its own, which ends with it or with its time.

    Args:
        row: that runs.
        end: of all time, monotonic seconds.
        rehearse: on a CPU.

    Returns:
        Its exit status, None for one that ran out of time; its seconds; and what it wrote. Then
        what it printed.
    """
    environment = os.environ | ({} if rehearse else {"VFSEG_TEST_PLATFORMS": "cuda,cpu"})
    begin = time.monotonic()
    seconds = min(row.seconds, end - begin)
    with tempfile.TemporaryDirectory() as folder:
        written, printed = Path(folder) / "result.json", Path(folder) / "printed"
        command = [sys.executable, "-m", *row.command]
        if row.command[0] != "pytest":
            command += ["--json", str(written)]
        status = None
        if seconds > LEAST_SECONDS:
            with open(printed, "wb") as out:
                process = subprocess.Popen(
                    command, stdout=out, stderr=out, env=environment, start_new_session=True
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        result = json.loads(written.read_text()) if written.exists() else {}
        said = printed.read_text(errors="replace").strip() if printed.exists() else ""
    took, last = time.monotonic() - begin, said.rpartition("\n")[2]
    words = {0: "ok", None: "out of time"}.get(status, f"failed ({status})")
    print(f"{row.name}: {words}, {took:.0f} s: {last}", flush=True)
    return {"status": status, "seconds": took, "last_line": last, **result}, said


if __name__ == "__main__":
    sys.exit(main())
