"""Windows per second of the training step, on synthetic batches, as `configs/quickstart.py` trains.

A window is a target slice with its neighbours. Side by side: with and without the discriminator;
without augmentation, with the quickstart's and with a strong one; plain windows (one target per
run) against runs of slices that share their encoding; one device against several (on a CPU: two
that share its cores), by jit over a mesh and by pmap.

    python -m benchmarks.train_step [--device cpu|gpu] [--quick] [--json FILE]
"""

from collections.abc import Sequence

import jax

from benchmarks import command, timing
from benchmarks.configs import augmented, quickstart
from benchmarks.stepper import ADVERSARIAL, SUPERVISED, Stepper, step_task

STRONG_AUGMENTATION = {
    "rotation": 20.0,
    "scaling": 0.2,
    "translation": 6.0,
    "elastic": 4.0,
    "left_right_flip": 0.5,
    "gamma": 0.25,
    "contrast": 0.2,
    "noise": 40.0,
    "blur": 0.8,
    "low_resolution": 1.0,
    "hu_shift": 40.0,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    args = command.arguments(__doc__ or "", argv, cpu_devices=2)
    variant = "tiny" if args.quick else ""
    runs, plain = quickstart(4, variant), quickstart(1, variant)
    several = min(jax.device_count(), runs.windows.batch_size)
    competitors = {
        "runs of 4, full step": Stepper(runs, phase=ADVERSARIAL),
        "runs of 4, full step, no augmentation": Stepper(
            augmented({}, 4, variant), phase=ADVERSARIAL
        ),
        "runs of 4, full step, strong augmentation": Stepper(
            augmented(STRONG_AUGMENTATION, 4, variant), phase=ADVERSARIAL
        ),
        "runs of 4, no discriminator": Stepper(runs, phase=SUPERVISED),
        "plain windows, full step": Stepper(plain, phase=ADVERSARIAL),
    }
    if several > 1:
        for parallel in ("jit", "pmap"):
            name = f"runs of 4, full step, {parallel} on {several} devices"
            competitors[name] = Stepper(runs, phase=ADVERSARIAL, parallel=parallel, devices=several)
    table = timing.race(
        step_task(runs),
        competitors,
        baseline="runs of 4, full step",
        rounds=3 if args.quick else 11,
    )
    command.publish([table], args.json)


if __name__ == "__main__":
    main()
