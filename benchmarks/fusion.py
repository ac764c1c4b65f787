"""Fusing the crops of a case: the kernel, other forms of the same sum, MONAI, PyTorch and a copy.

    python -m benchmarks.fusion [--device cpu|gpu] [--quick] [--json FILE]

Fourteen crops along a curved spine, each predicted in four views, become the mean of all
predictions of each voxel, as `predict` and `evaluate` make it. Every competitor gets the same
float32 predictions on its device and returns the mean in a new volume; the time to fill that with
zeros is included. All means are compared before anything is timed.

- `vfseg`: the kernel (`vfseg/inference/kernel.py`), crop after crop, in place
- `scatter`: one compiled scatter of all crops at once; a GPU adds in an order that changes
- `gather`: every voxel of the volume asks for its predictions, by a table that is made beforehand
- MONAI: its `AvgMerger`, which `SlidingWindowInfererAdapt` and others use
- loops that add one crop after the other, in NumPy and PyTorch

Scatter and gather compile anew for every size of the volume, which is not in their times. The copy
moves as many bytes, read and written together, as the task must: predictions in, the mean out; into
new memory, as the others do, and on a CPU also into memory in use, which is faster there.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks import command, timing
from benchmarks.environment import installed
from vfseg.inference.kernel import Triple, bounds, fuse_crops

CROPS, VIEWS, SIDE = 14, 4, 48
QUICK_CROPS, QUICK_SIDE = 3, 16
ROUNDS, QUICK_ROUNDS = 25, 3


def case(crops: int, side: int) -> tuple[np.ndarray, list[Triple]]:
    """Predictions `n v d h w`, and where the crops lie: nearly half a crop apart, on an arc."""
    predictions = np.random.default_rng(0).random((crops, VIEWS, side, side, side), np.float32)
    along = np.linspace(0, np.pi, crops)
    starts = zip(
        np.arange(crops) * side * 9 // 20, side * 0.8 * np.sin(along), side * 0.2 * np.cos(along)
    )
    return predictions, [(int(d), int(h), int(w)) for d, h, w in starts]


def kernel(predictions: Sequence[Array], starts: Sequence[Triple]) -> Array:
    """Mean as the package makes it; 0 where nothing is predicted."""
    fused = fuse_crops(predictions, starts, fusion="mean", slice_threshold=0.5, spread=False)
    return _divided(*fused.fused)


@jax.jit
def _divided(total: Array, weight: Array) -> Array:
    return total / jnp.maximum(weight, 1)


@partial(jax.jit, static_argnames="extent")
def scatter(predictions: Array, corners: Array, *, extent: Triple) -> Array:
    """Mean by one scatter-add of all predictions, and one of as many ones."""
    sides = predictions.shape[2:]
    d, h, w = (
        corners[:, axis].reshape(-1, 1, 1, 1)
        + jnp.arange(side).reshape([-1 if a == axis + 1 else 1 for a in range(4)])
        for axis, side in enumerate(sides)
    )
    total = jnp.zeros(extent).at[d, h, w].add(predictions.sum(axis=1))
    return _divided(total, jnp.zeros(extent).at[d, h, w].add(float(predictions.shape[1])))


@jax.jit
def gather(predictions: Array, table: Array) -> Array:
    """Mean by asking: voxel -> places in a row of all views' sums; one past its end is nobody."""
    sums = predictions.sum(axis=1).ravel()
    found = sums.at[table].get(mode="fill", fill_value=0)
    number = (table < sums.size).sum(axis=-1) * predictions.shape[1]
    return _divided(found.sum(axis=-1), number)


def table_of(shape: tuple[int, ...], corners: np.ndarray, extent: Triple) -> np.ndarray:
    """The table of `gather`, int32 `d h w k`, k as many as lie over a voxel at most."""
    count = np.zeros(extent, np.int32)
    boxes = [tuple(slice(a, a + n) for a, n in zip(corner, shape[2:])) for corner in corners]
    for box in boxes:
        count[box] += 1
    nobody = shape[0] * int(np.prod(shape[2:]))
    table = np.full((*extent, int(count.max())), nobody, np.int32)
    count[:] = 0
    index = np.arange(nobody, dtype=np.int32).reshape(shape[0], *shape[2:])
    for box, crop in zip(boxes, index):
        d, h, w = np.indices(crop.shape)
        table[box][d, h, w, count[box]] = crop
        count[box] += 1
    return table


def loop(predictions: Any, corners: np.ndarray, zeros: Callable[[], Any]) -> Any:
    """Mean by one crop after the other, by NumPy or PyTorch."""
    total, count = zeros(), zeros()
    for crop, corner in zip(predictions, corners):
        place = tuple(slice(a, a + n) for a, n in zip(corner.tolist(), crop.shape[1:]))
        total[place] += crop.sum(0)
        count[place] += len(crop)
    return total / count.clip(1)


def monai_merge(predictions: Any, corners: np.ndarray, extent: Triple) -> Any:
    """Mean by MONAI, view by view; not a number where nothing is predicted, so these become 0."""
    from monai.inferers.merger import AvgMerger

    merger = AvgMerger((1, 1, *extent), device=predictions.device)
    for crop, corner in zip(predictions, corners):
        for view in crop:
            merger.aggregate(view[None, None], corner.tolist())
    return merger.finalize()[0, 0].nan_to_num_(0)


def competitors(crops: int, side: int) -> tuple[dict[str, Callable[[], Any]], int]:
    """Everything that is timed, by name, and the bytes in and out.

    Raises:
        AssertionError: two of them disagree.
    """
    predictions, starts = case(crops, side)
    origin, extent = bounds(starts, predictions.shape[2:])
    corners = np.subtract(starts, origin).astype(np.int32)
    on_device, total = jnp.asarray(predictions), predictions.nbytes + 4 * int(np.prod(extent))
    table = jnp.asarray(table_of(predictions.shape, corners, extent))
    source, copy = jnp.zeros(total // 8, jnp.float32), jax.jit(jnp.copy)
    forms: dict[str, Callable[[], Any]] = {
        "vfseg": partial(kernel, list(on_device), starts),
        "scatter": partial(scatter, on_device, corners, extent=extent),
        "gather": partial(gather, on_device, table),
    }
    if installed("torch"):
        from benchmarks.torch_modes import device, synchronised, torch

        tensor = torch.from_numpy(predictions).to(device())
        empty = partial(torch.zeros, extent, device=device())
        forms["PyTorch loop"] = synchronised(partial(loop, tensor, corners, empty))
        if installed("monai"):
            forms["MONAI"] = synchronised(partial(monai_merge, tensor, corners, extent))
    zeros = partial(np.zeros, extent, np.float32)
    expected = loop(predictions, corners, zeros)
    for name, form in forms.items():
        found = form()
        found = np.asarray(found if isinstance(found, Array) else found.cpu())
        within = tuple(slice(0, n) for n in extent)
        np.testing.assert_allclose(found[within], expected, rtol=1e-6, err_msg=name)
    forms["NumPy loop"] = partial(loop, predictions, corners, zeros)
    copies: dict[str, Callable[[], Any]] = {"copy": lambda: copy(source)}
    if jax.default_backend() == "cpu":  # the other has to ask the system for its pages
        held, target = np.asarray(source), np.ones(source.shape, np.float32)
        copies["copy into memory in use"] = lambda: np.copyto(target, held)
    return copies | forms, total


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    args = command.arguments(__doc__ or "", argv)
    crops, side = (QUICK_CROPS, QUICK_SIDE) if args.quick else (CROPS, SIDE)
    found, total = competitors(crops, side)
    title = (
        f"{crops} crops of {side} x {side} x {side} in {VIEWS} views into the volume of a case, "
        f"{total / 1e6:.0f} MB in and out"
    )
    rounds = QUICK_ROUNDS if args.quick else ROUNDS
    table = timing.race(
        timing.Task(title, total / 1e9, "GB/s"), found, baseline="copy", rounds=rounds
    )
    command.publish([table], args.json)
    for name in ("torch", "monai"):
        if not installed(name):
            print(f"left out: {name}: not installed (pip install -e '.[bench]')")


if __name__ == "__main__":
    main()
