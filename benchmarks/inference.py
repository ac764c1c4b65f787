"""Inference: encoding once beside plain windows, and one large CT through `--mode predict`.

`python -m benchmarks.inference [--quick] [--json FILE]`

The network has the size of `configs/quickstart.py` and is untrained; its time does not depend on
what it has learnt. The first table predicts four crops: with every slice encoded once, as the
package does, a crop on each core of a CPU, and all four in a call; and with plain windows, each of
them encoding its five slices, a crop on each core too. All answers are compared before anything is
timed.

The second is the whole program on a synthetic CT (noise, gzip) with a box file of 14 levels, in a
process of its own: the command line, from the start of Python to its end. Memory is the peak
resident size less that after the imports, as a multiple of the CT's int16 bytes. The compiled
program is taken from JAX's cache where it stands (the first round fills it).
"""

import argparse
import csv
import json
import runpy
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.prepare import (
    FILES,
    QUICK_SHAPE,
    QUICK_SPACING,
    SHAPE,
    SPACING,
    in_process,
    make_case,
    resident_bytes,
)
from vfseg.data.geometry import PLANE_AXES

GOALS = (
    "goals on 2 cores: plain windows at least 1.5 times the time of encoding once; "
    "one CT at most 60 s and 2 times the CT's int16 bytes"
)
ROUNDS = 3


def quickstart(*, quick: bool):
    """The config whose network is timed."""
    path = Path(__file__).parent.parent / "configs" / "quickstart.py"
    return runpy.run_path(str(path))["get_config"]("tiny" if quick else "")


def encode_once(*, quick: bool):
    """Table of one crop, encoded once and by plain windows."""
    import jax
    import jax.numpy as jnp
    from vfseg.training.recipe import make_generator, window_settings

    from benchmarks import timing
    from vfseg.crops.intensity import to_channels
    from vfseg.inference.model import make_predictor
    from vfseg.training.loop import initial_state

    config = quickstart(quick=quick)
    windows = window_settings(config)
    params = jax.device_put(initial_state(config).g_params)
    generator, predictor = make_generator(config), make_predictor(config)
    stride = windows.stride(config.prepare.voxel_spacing)
    axis = PLANE_AXES[windows.planes[0]]
    rng = np.random.default_rng(0)
    crops = rng.integers(-200, 1500, (4, *config.prepare.crop_shape), np.int16)
    count = crops.shape[axis + 1]
    offsets = (np.arange(windows.length) - windows.length // 2) * stride
    index = np.clip(np.arange(count)[:, None] + offsets, 0, count - 1)  # window slice

    @jax.jit
    def by_windows(params, slices):
        runs = to_channels(slices[index], config.hu_windows)
        return jax.nn.sigmoid(generator.apply({"params": params}, runs)[:, 0])

    def plain(crop):
        answer = by_windows(params, jnp.asarray(np.moveaxis(crop, axis, 0)))
        return np.moveaxis(np.asarray(answer), 0, axis)

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
    np.testing.assert_allclose(once[0], plain(crops[0]), atol=1e-5)
    side_by_side = ThreadPoolExecutor(predictor.crops_side_by_side)
    competitors = {
        "encode once": lambda: predictor.slices(params, crops),
        "encode once, four crops a call": four,
        "plain windows": lambda: list(side_by_side.map(plain, crops)),
    }
    return timing.race(
        f"4 crops of {tuple(config.prepare.crop_shape)}, windows of {windows.length} slices",
        competitors,
        baseline="encode once",
        work=4.0 * count,
        unit="slices/s",
        rounds=3 if quick else 7,
    )


def make_folder(folder: Path, *, quick: bool) -> None:
    """Makes CT, boxes and an untrained checkpoint with thresholds."""
    from vfseg.data.volume import read_labels
    from vfseg.inference.model import save_thresholds
    from vfseg.training.checkpoints import Checkpoints
    from vfseg.training.loop import initial_state

    make_case(folder, *((QUICK_SHAPE, QUICK_SPACING) if quick else (SHAPE, SPACING)))
    labels = read_labels(folder / FILES["vertebrae"])
    stored = labels.geometry.to_stored(labels.array)
    with open(folder / "boxes.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "x0", "x1", "y0", "y1", "z0", "z1"])
        for label in np.unique(stored[stored != 0]):
            sides = [np.flatnonzero((stored == label).any(axis=others)) for others in _OTHERS]
            lines.writerow([label, *(n for s in sides for n in (s[0], s[-1] + 1))])
    config = quickstart(quick=quick)
    checkpoints = Checkpoints(folder / "checkpoints", create=True)
    state = initial_state(config)
    checkpoints.save(state, next_sample=0, config=config.to_dict())
    checkpoints.score(int(state.step), 0.0)
    save_thresholds(
        folder / "checkpoints",
        int(state.step),
        slice=0.5,
        fused=0.5,
        vertebra=0.5,
        temperature=1.0,
        fusion=config.inference.fusion,
    )


_OTHERS = ((1, 2), (0, 2), (0, 1))


def worker(folder: Path) -> None:
    """Runs the program's own main function and prints what it took."""
    begin = time.perf_counter()
    import vfseg.commands.pipeline

    import vfseg.commands.predict  # noqa: F401, main imports both late; here they count as imports
    from vfseg import main

    before, imported = resident_bytes("VmRSS"), time.perf_counter()
    command = ["vfseg", "--mode", "predict", "--input", folder / FILES["ct"], "--overwrite"]
    command += ["--boxes", folder / "boxes.csv", "--checkpoint", folder / "checkpoints"]
    command += ["--output", folder / "out", "--vertebra-scheme", "verse"]
    status = main.main([*map(str, command)])
    assert status == 0, status
    end = time.perf_counter()
    peak = resident_bytes("VmHWM") - before
    print(json.dumps({"seconds": end - begin, "after_imports": end - imported, "bytes": peak}))


def whole_program(*, quick: bool):
    """Table of one CT through the command line."""
    from benchmarks import timing

    shape = QUICK_SHAPE if quick else SHAPE
    ct_bytes = 2 * int(np.prod(shape))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        in_process("--make", folder, int(quick), module="benchmarks.inference")
        for _ in range(1 if quick else ROUNDS):
            printed = in_process("--worker", folder, module="benchmarks.inference")
            print(printed.rsplit("\n", 2)[0])
            found.append(json.loads(printed.splitlines()[-1]))
    peak = max(one["bytes"] for one in found)
    size = "x".join(map(str, shape))
    return timing.tabulate(
        f"--mode predict on one CT of {size} int16 ({ct_bytes / 1e6:.0f} MB), 14 boxes",
        {
            "whole program": [one["seconds"] for one in found],
            "after imports": [one["after_imports"] for one in found],
        },
        baseline="whole program",
        work=1.0,
        unit="cases/s",
        remarks={"whole program": {"peak": f"{peak / ct_bytes:.2f} x CT"}},
    )


def main() -> None:
    """Runs both and prints two tables."""
    if sys.argv[1:2] == ["--make"]:
        parser = argparse.ArgumentParser()
        parser.add_argument("folder", type=Path)
        parser.add_argument("quick", type=int)
        args = parser.parse_args(sys.argv[2:])
        return make_folder(args.folder, quick=bool(args.quick))
    if sys.argv[1:2] == ["--worker"]:
        return worker(Path(sys.argv[2]))

    from benchmarks import timing

    args = timing.arguments(__doc__ or "")
    tables = [encode_once(quick=args.quick), whole_program(quick=args.quick)]
    timing.publish(tables, args.json)
    print(GOALS)
    return None


if __name__ == "__main__":
    main()
