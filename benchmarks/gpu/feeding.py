"""How long the device waits for data while a training reads its batches from the store.

    python -m benchmarks.gpu.feeding WORKDIR [--device cpu|gpu] [--quick] [--json FILE]

The workdir is that of a finished run, of which config and prepared crops are taken. One competitor
steps on batches as the training loop draws them, the other on four that lie on the device already.
A race of blocks of steps: the device waits for what the first takes longer.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import command, timing
from benchmarks.stepper import ADVERSARIAL
from vfseg.config.config import read_config
from vfseg.config.recipe import training_plan
from vfseg.crops.store import read_record
from vfseg.crops.windows import BatchFeed, RunSource
from vfseg.training.parallel import make_runner

STEPS, QUICK_STEPS = 100, 3


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workdir", type=Path)
    command.add_flags(parser)
    args = parser.parse_args(argv)
    command.choose_device(args.device)
    steps = QUICK_STEPS if args.quick else STEPS
    table = timing.race(
        timing.Task(f"{steps} training steps of the run", float(steps), "steps/s"),
        competitors(args.workdir, steps),
        baseline="from the store",
        rounds=3 if args.quick else 7,
    )
    command.publish([table], args.json)
    fed, held = (row.seconds[1] for row in table.rows)
    print(f"{1e3 * fed / steps:.2f} ms a step, idle {100 * max(0.0, 1 - held / fed):.0f} % of it")


def competitors(workdir: Path, steps: int) -> dict[str, Callable[[], Any]]:
    """So many steps from the store, and as many on batches that are there."""
    config = read_config(json.loads((workdir / "config.json").read_text()))
    plan, store = training_plan(config), workdir / "store"
    found = (read_record(store, path.name).record for path in sorted(store.iterdir()))
    records = [record for record in found if record is not None]
    runs = config.windows.batch_size
    source = RunSource(store, records, config.windows, seed=0, length=10**6)
    feed = BatchFeed(source, runs)
    runner = make_runner(plan.step, plan.parallel, runs)
    state = runner.put_state(plan.initial_state())
    held = [runner.put_batch(next(feed)) for _ in range(4)]
    from_store = iter(lambda: runner.put_batch(next(feed)), None)

    def several(batches: Iterator[Any]) -> Callable[[], Any]:
        def run() -> Any:
            nonlocal state
            metrics = None
            for batch in itertools.islice(batches, steps):
                state, metrics = runner.step(state, batch, phase=ADVERSARIAL)
            return jax.tree.leaves(metrics)

        return run

    return {"from the store": several(from_store), "held": several(itertools.cycle(held))}


if __name__ == "__main__":
    main()
