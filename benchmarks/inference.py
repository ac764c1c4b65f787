"""Inference: encoding once beside plain windows, and one large CT through `--mode predict`.

`python -m benchmarks.inference [--quick] [--json FILE]`

The network has the size of `configs/quickstart.py` and is untrained; its time does not depend on
what it has learnt. The first table is about four crops. With every slice encoded once, as the
package does, they are predicted one on each core of a CPU, and all four in one call; with plain
windows, each of which encodes its five slices, one on each core too. All answers are compared
before anything is timed.

The second is about the whole program on a synthetic CT (noise, gzip) with a box file of 14 levels,
in a process of its own: imports, reading, prediction, writing. Memory is the peak resident size
minus that after the imports, as a multiple of the CT's int16 bytes. The compiled
program comes from JAX's cache, which the first round fills.
"""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import command, large_ct, timing, workers
from benchmarks.configs import QUICKSTART, read_config
from benchmarks.plain_windows import PlainWindows
from vfseg.config.model import make_predictor
from vfseg.config.recipe import initial_state, make_generator
from vfseg.crops.intensity import to_channels
from vfseg.data.settings import PLANE_AXES

GOALS = (
    "goals on 2 cores: plain windows at least 1.5 times the time of encoding once; "
    "one CT at most 60 s and 2 times the CT's int16 bytes"
)
ROUNDS = 3


def encode_once(*, quick: bool) -> timing.Table:
    """Table of four crops, encoded once and by plain windows."""
    config = read_config(QUICKSTART, "tiny" if quick else "")
    windows = config.windows
    params = jax.device_put(initial_state(config).g_params)
    generator, predictor = make_generator(config), make_predictor(config)
    plain = PlainWindows(config, params)
    stride = windows.stride(config.prepare.voxel_spacing)
    axis = PLANE_AXES[windows.planes[0]]
    rng = np.random.default_rng(0)
    crops = rng.integers(-200, 1500, (4, *config.prepare.crop_shape), np.int16)

    def by_windows(crop):
        return np.moveaxis(plain(np.moveaxis(crop, axis, 0)), 0, axis)

    @partial(jax.jit, static_argnums=2)
    def runs_at_once(params, runs, reach):
        runs = jnp.pad(runs, ((0, 0), (reach, reach), (0, 0), (0, 0)), mode="edge")
        channels = to_channels(runs, config.hu_windows)
        return jax.nn.sigmoid(generator.apply({"params": params}, channels, stride))

    def four():
        runs = np.moveaxis(crops, axis + 1, 1)
        answer = runs_at_once(params, runs, windows.length // 2 * stride)
        return np.moveaxis(np.asarray(answer), 1, axis + 1)

    once = predictor.slices(params, crops)[:, 0]
    np.testing.assert_allclose(once, four(), atol=1e-5)
    np.testing.assert_allclose(once[0], by_windows(crops[0]), atol=1e-5)
    side_by_side = ThreadPoolExecutor(predictor.crops_side_by_side)
    competitors = {
        "encode once": lambda: predictor.slices(params, crops),
        "encode once, four crops a call": four,
        "plain windows": lambda: list(side_by_side.map(by_windows, crops)),
    }
    title = f"4 crops of {tuple(config.prepare.crop_shape)}, windows of {windows.length} slices"
    return timing.race(
        timing.Task(title, 4.0 * crops.shape[axis + 1], "slices/s"),
        competitors,
        baseline="encode once",
        rounds=3 if quick else 7,
    )


def whole_program(*, quick: bool) -> timing.Table:
    """Table of one CT through the command line."""
    with tempfile.TemporaryDirectory() as folder:
        workers.call("benchmarks.whole_program", "make_folder", folder, quick)
        found = [
            workers.call("benchmarks.whole_program", "predict", folder)
            for _ in range(1 if quick else ROUNDS)
        ]
    peak = max(one["bytes"] for one in found) / large_ct.ct_bytes(quick=quick)
    title = f"--mode predict on one CT of {large_ct.described(quick=quick)}, 14 boxes"
    return timing.tabulate(
        timing.Task(title, 1.0, "cases/s"),
        {
            "whole program": [one["seconds"] for one in found],
            "after imports": [one["after_imports"] for one in found],
        },
        baseline="whole program",
        remarks={"whole program": {"peak": f"{peak:.2f} x CT"}},
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs both and prints two tables."""
    args = command.arguments(__doc__ or "", argv)
    tables = [encode_once(quick=args.quick), whole_program(quick=args.quick)]
    command.publish(tables, args.json)
    print(GOALS)


if __name__ == "__main__":
    main()
