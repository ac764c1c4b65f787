"""Slices per second of predicting crops, beside a twin in PyTorch that does the same work.

    python -m benchmarks.twin_inference [--device cpu|gpu] [--quick] [--json FILE]

The network has the size of `configs/quickstart.py`; its weights are random, which changes no time.
Both predict every slice of some crops of 48x48x48, in two forms: with every slice encoded once, as
the package does, and by plain windows, each of which encodes its five slices. In both forms the
package predicts one crop on each core of a CPU; PyTorch's operators use all cores. Before anything
is timed, all answers, bfloat16 excepted, must agree to 1e-4.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from benchmarks import command, twin_race
from benchmarks.configs import QUICKSTART, read_config
from benchmarks.counting import Work, of_compiled, of_torch
from benchmarks.environment import installed
from benchmarks.plain_windows import PlainWindows
from benchmarks.timing import Task
from benchmarks.twin_training import TOLERANCE, restless_state
from vfseg.config.config import Config
from vfseg.config.model import make_predictor
from vfseg.config.recipe import compute_dtype
from vfseg.data.settings import PLANE_AXES

FORMS = {"encode once": True, "plain windows": False}


def competitors(
    config: Config, crops: int, *, quick: bool
) -> tuple[dict[str, Callable[[], list[np.ndarray]]], dict[str, Work], int]:
    """Everything that is timed, what it costs, and how many slices it predicts.

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
    assert np.ptp(wanted) > 100 * TOLERANCE, "answers that hardly vary show nothing"
    tolerance = TOLERANCE if compute_dtype(config) == np.float32 else 5e-2
    np.testing.assert_allclose(once(), wanted, atol=tolerance)
    if installed("torch"):
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
    costs = {name: one.times(crops) for name, one in one_crop.items()}
    return runs, costs, crops * stacks.shape[1]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints limits and table."""
    args = command.arguments(__doc__ or "", argv)
    config = read_config(QUICKSTART, "tiny" if args.quick else "")
    crops = 2 if args.quick else 7
    runs, costs, slices = competitors(config, crops, quick=args.quick)
    shape = tuple(config.prepare.crop_shape)
    task = Task(f"Prediction of {crops} crops of {shape}, windows of 5 slices", slices, "slices/s")
    twin_race.run(task, runs, costs, dtype=str(compute_dtype(config)), args=args)


if __name__ == "__main__":
    main()
