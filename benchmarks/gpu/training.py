"""A training step of one size in bfloat16, beside a compiled twin in PyTorch.

    python -m benchmarks.gpu.training SIDE FEATURES RUNS [--device cpu|gpu] [--quick] [--json FILE]

The network is the quickstart's with so many features at full resolution, 2, 4 and 8 times as many
below; slices are SIDE x SIDE, windows of 5, runs of 4 targets, with the discriminator and without
augmentation. Batches begin on the host, in both. Before anything is timed, both compute the first
loss from the same weights, in bfloat16, and it must agree to 5 %; `benchmarks.gpu.agreement`
compares loss and gradients in float32.

Operations are those that PyTorch counts in its twin, padding included, for both. The share is that
of the rate of a matrix product of 8192 x 8192 in bfloat16, the best of XLA and PyTorch here.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import command, limits, timing
from benchmarks.configs import augmented
from benchmarks.counting import of_torch
from benchmarks.stepper import ADVERSARIAL, Stepper, random_batches
from benchmarks.torch_modes import Mode, device, synchronised, torch
from benchmarks.torch_step import TorchStep
from benchmarks.twin_training import cycling, restless_state
from vfseg.config.config import Config

TARGETS = 4
LIKE_BFLOAT16 = 5e-2
"""Tolerance of a loss in bfloat16, relative."""


def config_of(side: int, features: int, runs: int) -> Config:
    """The quickstart's config at another size, in bfloat16."""
    config = augmented({}, TARGETS)
    scales = tuple(features * 2**scale for scale in range(4))
    return dataclasses.replace(
        config,
        compute_dtype="bfloat16",
        prepare=dataclasses.replace(config.prepare, crop_shape=(side,) * 3),
        windows=dataclasses.replace(config.windows, batch_size=runs),
        generator=dataclasses.replace(
            config.generator, features=scales, recurrent_features=2 * features
        ),
        discriminator=dataclasses.replace(config.discriminator, features=scales[:3]),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Prints limits and table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("side", "features", "runs"):
        parser.add_argument(name, type=int)
    command.add_flags(parser)
    args = parser.parse_args(argv)
    command.choose_device(args.device)
    config = config_of(args.side, args.features, args.runs)
    tables, best = limits.measure(quick=args.quick)
    state = restless_state(config)
    ours = Stepper(config, phase=ADVERSARIAL, devices=None, state=state)
    mode = Mode(channels_last=True, compiled=device().type == "cuda", bfloat16=True)
    twin = TorchStep(config, state.g_params, state.d_params, mode)
    batches = random_batches(config)
    loss = float(jax.device_get(ours()).compute()["loss"])
    np.testing.assert_allclose(float(twin(batches[0])), loss, rtol=LIKE_BFLOAT16)
    operations = operations_of(config)
    size = f"{args.side}x{args.side}, features {config.generator.features}"
    title = f"Training step, {args.runs} runs of {TARGETS} windows of 5 slices of {size}, bfloat16"

    def remark(name: str, seconds: float) -> dict[str, Any]:
        rate = best.get("bfloat16", best["float32"]).operations
        return {
            "TFLOP": round(operations / 1e12, 3),
            "share": round(operations / seconds / rate, 3),
        }

    table = timing.race(
        timing.Task(title, args.runs * TARGETS, "windows/s"),
        {"vfseg": ours, f"PyTorch, {mode}": synchronised(cycling(twin, batches))},
        baseline="vfseg",
        rounds=3 if args.quick else 11,
        remarks=remark,
    )
    command.publish([*tables, table], args.json)
    if device().type == "cuda":
        print(f"peak of PyTorch: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
    print(f"{title}: {', '.join(f'{1e3 * row.seconds[1]:.1f} ms' for row in table.rows)}")


def operations_of(config: Config) -> float:
    """Floating point operations of a step: those of one with a single run, times the runs."""
    single = dataclasses.replace(config, windows=dataclasses.replace(config.windows, batch_size=1))
    state = restless_state(single)
    step = TorchStep(single, state.g_params, state.d_params, Mode(True, False, True))
    batch = random_batches(single)[0]
    return of_torch(lambda: step(batch)).operations * config.windows.batch_size


if __name__ == "__main__":
    main()
