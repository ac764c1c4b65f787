"""Slices per second of predicting crops, beside a twin in PyTorch that does the same work.

    python -m benchmarks.twin_inference [--device cpu|gpu] [--quick] [--json FILE]

The network has the size of `configs/quickstart.py`; its weights are random, which changes no time.
Both predict every slice of a stack of crops of 48x48x48, in two forms: with every slice encoded
once, as the package does, and by plain windows, each of which encodes its five slices. The package
predicts a crop on each core of a CPU, in both forms; PyTorch's operators use all cores. The answers
of all, bfloat16 excepted, agree to 1e-4 before anything is timed.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from vfseg.training.recipe import compute_dtype, make_generator

from benchmarks import timing, twin_race
from benchmarks.counting import Work, of_compiled, of_torch
from benchmarks.train_step import quickstart
from benchmarks.twin_training import TOLERANCE, restless_state
from vfseg.crops.intensity import to_channels
from vfseg.data.geometry import PLANE_AXES
from vfseg.inference.model import make_predictor

FORMS = {"encode once": True, "plain windows": False}


class PlainWindows:
    """The package's network on every window for itself, one crop a call."""

    def __init__(self, config: ConfigDict, g_params: Any):
        """Compiles nothing yet."""
        generator, length = make_generator(config), config.windows.length
        self._params = jax.device_put(g_params)
        self._offsets = np.arange(length) - length // 2

        def predict(params: Any, windows: jax.Array) -> jax.Array:
            channels = to_channels(windows, config.hu_windows)
            logits: Any = generator.apply({"params": params}, channels)
            return jax.nn.sigmoid(logits[:, 0])

        self._predict = jax.jit(predict)

    def windows(self, slices: np.ndarray) -> np.ndarray:
        """Slices `n h w` -> windows `n t h w`, edges repeated."""
        near = np.arange(len(slices))[:, None] + self._offsets
        return slices[near.clip(0, len(slices) - 1)]

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        """Probabilities `n h w` of slices `n h w`, int16 HU."""
        return np.asarray(self._predict(self._params, jnp.asarray(self.windows(slices))))

    def compiled(self, slices: np.ndarray) -> jax.stages.Compiled:
        """The program, to look into."""
        return self._predict.lower(self._params, self.windows(slices)).compile()


def competitors(
    config: ConfigDict, crops: int, *, quick: bool
) -> tuple[dict[str, Callable[[], list[np.ndarray]]], dict[str, Work], int]:
    """Everything that is timed, what it costs, and how many slices that are.

    Raises:
        AssertionError: two of them disagree.
    """
    params = restless_state(config, for_gradients=False).g_params
    volumes = np.random.default_rng(0).integers(
        -200, 1500, (crops, *config.prepare.crop_shape), np.int16
    )
    axis = PLANE_AXES[config.windows.planes[0]]
    stacks = np.ascontiguousarray(np.moveaxis(volumes, axis + 1, 1))
    on_device, predictor, plain = (
        jax.device_put(params),
        make_predictor(config),
        PlainWindows(config, params),
    )

    def once() -> list[np.ndarray]:
        answers = predictor.slices(on_device, volumes)[:, 0]
        return list(np.moveaxis(answers, axis + 1, 1))

    side_by_side = ThreadPoolExecutor(predictor.crops_side_by_side)
    runs: dict[str, Callable[[], list[np.ndarray]]] = {
        "vfseg, encode once": once,
        "vfseg, plain windows": lambda: list(side_by_side.map(plain, stacks)),
    }
    batch = of_compiled(predictor.lower(on_device, volumes.shape[1:]).compile())
    at_once = predictor.crops_at_once
    one_crop = {
        "vfseg, encode once": Work(batch.operations / at_once, batch.bytes / at_once),
        "vfseg, plain windows": of_compiled(plain.compiled(stacks[0])),
    }
    wanted = runs["vfseg, plain windows"]()
    assert np.ptp(wanted) > 100 * TOLERANCE, "answers so much alike show nothing"
    tolerance = TOLERANCE if compute_dtype(config) == np.float32 else 5e-2
    np.testing.assert_allclose(once(), wanted, atol=tolerance)
    if timing.installed("torch"):
        from benchmarks.torch_modes import Mode, available, exactly
        from benchmarks.torch_step import TorchPredictor

        for form, encode_once in FORMS.items():
            twin = TorchPredictor(config, params, Mode(), encode_once=encode_once)
            counted = of_torch(lambda twin=twin: twin(stacks[0]))
            for mode in available(quick=quick)[0]:
                twin = TorchPredictor(config, params, mode, encode_once=encode_once)
                name = f"PyTorch, {form}, {mode}"
                if not mode.bfloat16:
                    with exactly():
                        np.testing.assert_allclose(
                            twin(stacks[0]), wanted[0], atol=tolerance, err_msg=name
                        )
                runs[name] = lambda twin=twin: [twin(stack) for stack in stacks]
                one_crop[name] = counted
    work = {name: one.times(crops) for name, one in one_crop.items()}
    return runs, work, crops * stacks.shape[1]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints limits and table."""
    args = timing.arguments(__doc__ or "", argv)
    config = quickstart(variant="tiny" if args.quick else "")
    crops = 2 if args.quick else 7
    runs, work, slices = competitors(config, crops, quick=args.quick)
    twin_race.run(
        f"Prediction of {crops} crops of {tuple(config.prepare.crop_shape)}, windows of 5 slices",
        runs,
        work,
        dtype=str(compute_dtype(config)),
        amount=slices,
        unit="slices/s",
        args=args,
    )


if __name__ == "__main__":
    main()
