"""Prediction: 14 crops beside a compiled twin in PyTorch, and a large CT from memory to its map.

    python -m benchmarks.gpu.prediction [--device cpu|gpu] [--quick] [--json FILE]

The network is the quickstart's with random weights. Crops begin and probabilities end on the host.
In float32 the twin's answers must agree to 1e-4 before anything is timed; both are then timed in
bfloat16, in which the package's answers must lie within 0.05 of them. The package puts seven crops
together, the twin predicts one after the other.

The large CT (512x512x1571, 14 boxes) lies in memory; what is timed cuts the crops, predicts, fuses
and resamples the map onto the CT's grid, slab by slab, and throws it away. A second table has the
whole program from file to files, in a process of its own.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import command, large_ct, timing, workers
from benchmarks.configs import QUICKSTART, read_config
from benchmarks.large_ct import FILES
from benchmarks.torch_modes import Mode, device, exactly
from benchmarks.torch_step import TorchPredictor
from benchmarks.twin_training import TOLERANCE, restless_state
from vfseg.config.model import make_predictor, open_model
from vfseg.data.discovery import case_of_ct
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.nifti import slabs
from vfseg.data.settings import PLANE_AXES, SpineReading
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_geometry
from vfseg.inference.case import fused_map

CROPS = 14
LIKE_BFLOAT16 = 0.05
"""Tolerance of a probability in bfloat16."""


def crops_table(*, quick: bool) -> timing.Table:
    """Table of 14 crops, after the answers of both were compared."""
    single = read_config(QUICKSTART, "", {"compute_dtype": "float32"})
    reduced = dataclasses.replace(single, compute_dtype="bfloat16")
    params = restless_state(single, for_gradients=False).g_params
    shape = (1 if quick else CROPS, *single.prepare.crop_shape)
    crops = np.random.default_rng(0).integers(-200, 1500, shape, np.int16)
    axis = PLANE_AXES[single.windows.planes[0]]
    stacks = np.ascontiguousarray(np.moveaxis(crops, axis + 1, 1))

    def ours(config: Any) -> Any:
        predictor, on_device = make_predictor(config), jax.device_put(params)
        return lambda: predictor.slices(on_device, crops)

    def twin(mode: Mode) -> Any:
        network = TorchPredictor(single, params, mode, encode_once=True)
        return lambda: np.stack([network(stack) for stack in stacks])

    with exactly():
        exact = np.moveaxis(ours(single)()[:, 0], axis + 1, 1)
        assert np.ptp(exact) > 100 * TOLERANCE, "answers that hardly vary show nothing"
        np.testing.assert_allclose(twin(Mode())(), exact, atol=TOLERANCE)
    mode = Mode(channels_last=True, compiled=device().type == "cuda", bfloat16=True)
    runs = {"vfseg": ours(reduced), f"PyTorch, {mode}": twin(mode)}
    rounded = np.moveaxis(runs["vfseg"]()[:, 0], axis + 1, 1)
    np.testing.assert_allclose(rounded, exact, atol=LIKE_BFLOAT16)
    return timing.race(
        timing.Task(f"{len(crops)} crops of {shape[1:]}, bfloat16", shape[0], "crops/s"),
        runs,
        baseline="vfseg",
        rounds=1 if quick else 11,
        warm_up=0 if quick else 2,
    )


def from_memory(folder: Path, *, quick: bool) -> timing.Table:
    """Table of the large CT, from memory to its map."""
    model = open_model(folder / "checkpoints")
    case = dataclasses.replace(case_of_ct(folder / FILES["ct"]), boxes=folder / "boxes.csv")
    spine = read_spine(case, read_geometry(case.ct), SpineReading(vertebra_scheme="verse"))
    ct = read_hounsfield(case.ct)

    def once() -> None:
        fused = fused_map(ct, spine, model).near_vertebrae(spine, ct.geometry)
        for part in slabs(ct.geometry):
            fused.part_on_ct(ct.geometry, part)

    return timing.race(
        timing.Task(f"{large_ct.described(quick=quick)}, 14 boxes, to its map", 1.0, "CTs/s"),
        {"from memory": once},
        baseline="from memory",
        rounds=3 if quick else 5,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    args = command.arguments(__doc__ or "", argv)
    tables = [crops_table(quick=args.quick)]
    command.publish(tables, args.json)
    with tempfile.TemporaryDirectory() as folder:
        call = functools.partial(workers.call, "benchmarks.whole_program")
        call("make_folder", folder, args.quick)
        tables.append(from_memory(Path(folder), quick=args.quick))
        found = [call("predict", folder) for _ in range(1 if args.quick else 3)]
    title = f"vfseg predict on one CT of {large_ct.described(quick=args.quick)}, 14 boxes"
    tables.append(
        timing.tabulate(
            timing.Task(title, 1.0, "CTs/s"),
            {
                "whole program": [one["seconds"] for one in found],
                "after imports": [one["after_imports"] for one in found],
            },
            baseline="whole program",
        )
    )
    command.publish(tables, args.json)
    print("; ".join(f"{row.name} {row.seconds[1]:.3f} s" for table in tables for row in table.rows))


if __name__ == "__main__":
    main()
