"""Windows per second of the training step, on synthetic batches, as `configs/quickstart.py` trains.

A window is a target slice with its neighbourhood. Side by side: with and without the
discriminator; without augmentation, with the quickstart's and with a strong one; plain windows (one
target a run) against runs of slices that share their encoding; one device against several (on a
CPU: one device a core), by jit over a mesh and by pmap.

    python -m benchmarks.train_step [--device cpu|gpu] [--quick] [--json FILE]
"""

import functools
import itertools
import runpy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from vfseg.training.recipe import step_settings, window_settings

from benchmarks import timing
from vfseg.data.geometry import PLANE_AXES
from vfseg.training.loop import initial_state
from vfseg.training.parallel import JitRunner, make_runner
from vfseg.training.stages import Phase
from vfseg.training.state import TrainState
from vfseg.training.step import train_step

WINDOWS_PER_STEP = 16
SUPERVISED = Phase(recurrent=True, adversarial=False, frozen=False)
ADVERSARIAL = Phase(recurrent=True, adversarial=True, frozen=False)
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


def quickstart(targets: int = 4, variant: str = "") -> ConfigDict:
    """The quickstart's config, or its variant, with so many targets a run and 16 windows a step."""
    path = Path(__file__).parent.parent / "configs" / "quickstart.py"
    config = runpy.run_path(str(path))["get_config"](variant)
    config.windows.targets = targets
    config.windows.batch_size = WINDOWS_PER_STEP // targets
    config.losses.adversarial_everywhere = True  # as the PyTorch twin judges; costs the same
    return config


def augmented(strengths: Mapping[str, float], targets: int = 4, variant: str = "") -> ConfigDict:
    """`quickstart` with these strengths of augmentation, and no others."""
    config = quickstart(targets, variant)
    config.augment = ConfigDict(dict(strengths))
    return config


class Stepper:
    """Runs one more training step on the next of four random batches when it is called.

    Attributes:
        state: what the next step begins with.
        batches: the four, on the host.
        devices: how many take part.
    """

    def __init__(
        self,
        config: ConfigDict,
        *,
        phase: Phase,
        parallel: str = "jit",
        devices: int | None = 1,
        state: TrainState | None = None,
    ):
        """Compiles nothing yet.

        Args:
            config: of the training.
            phase: of every step.
            parallel: "jit" or "pmap".
            devices: how many take part; None: of a CPU as many as a training uses, else one.
            state: to begin with; default the config's initial state.
        """
        self._phase = phase
        step = functools.partial(train_step, settings=step_settings(config))
        on_cores = devices is None and jax.default_backend() == "cpu"
        devices_used = None if on_cores else jax.devices()[: devices or 1]
        self._runner = make_runner(step, parallel, config.windows.batch_size, devices_used)
        self.state = self._runner.put_state(initial_state(config) if state is None else state)
        self.batches = random_batches(config)
        self.devices = len(self.state.step.sharding.device_set)
        self._next = itertools.cycle(self.batches)

    def __call__(self) -> Any:
        """Metrics of the step."""
        batch = self._runner.put_batch(next(self._next))
        self.state, metrics = self._runner.step(self.state, batch, phase=self._phase)
        return metrics

    def compiled(self) -> jax.stages.Compiled:
        """The program of a step under jit, to look into."""
        assert isinstance(self._runner, JitRunner)
        batch = self._runner.put_batch(self.batches[0])
        return self._runner.lower(self.state, batch, phase=self._phase).compile()


def random_batches(config: ConfigDict) -> list[dict[str, np.ndarray]]:
    """Four batches of noise as the config's training sees them."""
    windows = config.windows
    height, width = config.prepare.crop_shape[:2]
    stride = window_settings(config).stride(config.prepare.voxel_spacing)
    slices = windows.targets + (windows.length - 1) * stride
    rng = np.random.default_rng(0)
    shape = (windows.batch_size, slices, height, width)
    masks = (shape[0], windows.targets, height, width)
    return [
        {
            "ct": rng.integers(-200, 1200, shape, np.int16),
            "target": (rng.random(masks) < 0.005).astype(np.uint8),
            "plane": np.full(shape[0], PLANE_AXES["sagittal"], np.int32),
        }
        for _ in range(4)
    ]


def stepper(
    config: ConfigDict, *, phase: Phase, parallel: str = "jit", devices: int | None = 1
) -> Callable[[], Any]:
    """A function that runs one more training step on the next of four random batches."""
    return Stepper(config, phase=phase, parallel=parallel, devices=devices)


def steps_per_second(config: ConfigDict, steps: int = 10) -> float:
    """Full training steps a second on random batches, on one device; the median of `steps`."""
    run = stepper(config, phase=ADVERSARIAL)
    for _ in range(2):
        jax.block_until_ready(run())
    seconds = []
    for _ in range(steps):
        begin = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - begin)
    return float(1 / np.median(seconds))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    args = timing.arguments(__doc__ or "", argv, cpu_devices=2)
    variant = "tiny" if args.quick else ""
    runs, plain = quickstart(4, variant), quickstart(1, variant)
    several = min(jax.device_count(), runs.windows.batch_size)
    competitors = {
        "runs of 4, full step": stepper(runs, phase=ADVERSARIAL),
        "runs of 4, full step, no augmentation": stepper(
            augmented({}, 4, variant), phase=ADVERSARIAL
        ),
        "runs of 4, full step, strong augmentation": stepper(
            augmented(STRONG_AUGMENTATION, 4, variant), phase=ADVERSARIAL
        ),
        "runs of 4, no discriminator": stepper(runs, phase=SUPERVISED),
        "plain windows, full step": stepper(plain, phase=ADVERSARIAL),
    }
    if several > 1:
        for parallel in ("jit", "pmap"):
            name = f"runs of 4, full step, {parallel} on {several} devices"
            competitors[name] = stepper(runs, phase=ADVERSARIAL, parallel=parallel, devices=several)
    table = timing.race(
        f"Training step, {WINDOWS_PER_STEP} windows of 5 slices of {runs.prepare.crop_shape[:2]}, "
        f"features {runs.generator.features}",
        competitors,
        baseline="runs of 4, full step",
        work=WINDOWS_PER_STEP,
        unit="windows/s",
        rounds=3 if args.quick else 11,
    )
    timing.publish([table], args.json)


if __name__ == "__main__":
    main()
