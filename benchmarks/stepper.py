"""Training steps that are run one by one, on random batches."""

import functools
import itertools
from typing import Any

import jax
import numpy as np

from benchmarks.configs import WINDOWS_PER_STEP
from benchmarks.timing import Task
from vfseg.config.config import Config
from vfseg.config.recipe import initial_state, step_settings
from vfseg.data.settings import PLANE_AXES
from vfseg.training.parallel import JitRunner, make_runner
from vfseg.training.stages import Phase
from vfseg.training.state import TrainState
from vfseg.training.step import train_step

SUPERVISED = Phase(recurrent=True, adversarial=False, frozen=False)
ADVERSARIAL = Phase(recurrent=True, adversarial=True, frozen=False)


class Stepper:
    """Runs one more training step on the next of four random batches when it is called.

    Attributes:
        state: what the next step begins with.
        batches: the four, on the host.
        devices: how many take part.
    """

    def __init__(
        self,
        config: Config,
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


def random_batches(config: Config) -> list[dict[str, np.ndarray]]:
    """Four batches of noise as the config's training sees them."""
    windows = config.windows
    height, width = config.prepare.crop_shape[:2]
    stride = config.windows.stride(config.prepare.voxel_spacing)
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


def step_task(config: Config) -> Task:
    """One step of a config's training, as something to be timed."""
    shape, features = config.prepare.crop_shape[:2], config.generator.features
    title = f"Training step, {WINDOWS_PER_STEP} windows of 5 slices of {shape}, features {features}"
    return Task(title, WINDOWS_PER_STEP, "windows/s")
