"""Merging dense windows into a whole CT of 512x512x800: beside a copy, MONAI, PyTorch and NumPy.

    python -m benchmarks.merge [--device cpu|gpu] [--quick] [--json FILE]

Every competitor gets the same float32 predictions on its device, windows of 4 slices at a stride of
2, and returns their mean in a new volume, the time to fill it with zeros included. MONAI is the
library itself: `sliding_window_inference` with a predictor that hands out the windows adds them,
weighted, to a volume, counts in a second one, and divides. Before anything is timed, all means are
compared and must be the same to the last bit. The copy moves as many bytes, read and written
together, as the task must: the predictions in, the mean out; into new memory, as the others do, and
on a CPU also into memory in use, which is several times as fast there. Needs 9 GB.
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
from vfseg.inference.fusion import RULES
from vfseg.inference.overlap import METHODS, fastest, fuse_slices

SLICES, STRIDE = 4, 2  # of a window
VOLUME, QUICK_VOLUME = (800, 512, 512), (40, 64, 64)
ROUNDS, QUICK_ROUNDS = 7, 3


@partial(jax.jit, static_argnames=("length", "method"))
def merge(windows: Array, *, length: int, method: str | None) -> Array:
    """Mean `length a b` of windows `n k a b`, as the package fuses, in one program."""
    starts = STRIDE * np.arange(len(windows))
    fused = fuse_slices(windows, starts, length, rule=RULES["mean"], threshold=0.5, method=method)
    return fused.total / fused.weight


def add_up(windows: Any, total: Any, count: Any) -> Any:
    """Mean: one window after the other is added in place to zeros, by NumPy or PyTorch."""
    for number, window in enumerate(windows):
        place = slice(number * STRIDE, number * STRIDE + SLICES)
        total[place] += window
        count[place] += 1
    total /= count
    return total


def numpy_loop(windows: np.ndarray, length: int) -> np.ndarray:
    """Mean by NumPy."""
    total = np.zeros((length, *windows.shape[2:]), np.float32)
    return add_up(windows, total, np.zeros((length, 1, 1), np.float32))


def torch_loop(windows: Any, length: int) -> Any:
    """Mean by PyTorch."""
    import torch

    total = torch.zeros((length, *windows.shape[2:]), device=windows.device)
    return add_up(windows, total, torch.zeros((length, 1, 1), device=windows.device))


def monai_merge(windows: Any, length: int) -> Any:
    """MONAI's sliding window inference whose network has nothing to do."""
    import torch
    from monai.inferers.utils import sliding_window_inference

    def hand_out(_: Any, places: Sequence[Any]) -> Any:
        return windows[places[0][2].start // STRIDE][None, None]

    sides = windows.shape[2:]
    ct = torch.zeros((), device=windows.device).expand(1, 1, length, *sides)
    window, overlap = (SLICES, *sides), (1 - STRIDE / SLICES, 0, 0)
    return sliding_window_inference(ct, window, 1, hand_out, overlap, with_coord=True)[0, 0]


def competitors(
    volume: tuple[int, int, int],
) -> tuple[dict[str, Callable[[], Any]], int]:
    """Everything that is timed, by name, and the bytes in and out.

    Raises:
        AssertionError: two of them disagree.
    """
    length = volume[0]
    count = (length - SLICES) // STRIDE + 1
    windows = np.random.default_rng(0).random((count, SLICES, *volume[1:]), np.float32)
    on_device = jnp.asarray(windows)
    source = jnp.zeros((windows.size + int(np.prod(volume))) // 2, jnp.float32)
    copy = jax.jit(jnp.copy)
    merges: dict[str, Callable[[], Any]] = {
        "vfseg": partial(merge, on_device, length=length, method=None)
    }
    for method in METHODS:
        merges[f"vfseg, {method}"] = partial(merge, on_device, length=length, method=method)
    if installed("torch"):
        from benchmarks.torch_modes import device, torch

        tensor = torch.from_numpy(windows).to(device())
        merges["PyTorch loop"] = partial(torch_loop, tensor, length)
        if installed("monai"):
            merges["MONAI"] = partial(monai_merge, tensor, length)
    expected = numpy_loop(windows, length)
    for name, found in merges.items():
        got = found()
        got = np.asarray(got if isinstance(got, Array) else got.cpu())
        assert np.array_equal(got, expected), name
    merges["NumPy loop"] = partial(numpy_loop, windows, length)
    copies: dict[str, Callable[[], Any]] = {"copy": lambda: copy(source)}
    if jax.default_backend() == "cpu":  # the other has to ask the system for its pages
        held, target = np.asarray(source), np.ones(source.shape, np.float32)
        copies["copy into memory in use"] = lambda: np.copyto(target, held)
    return {**copies, **_waited_for(merges)}, windows.nbytes + expected.nbytes


def _waited_for(merges: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    if not installed("torch"):
        return merges
    from benchmarks.torch_modes import synchronised

    peers = ("PyTorch", "MONAI")
    return {n: synchronised(m) if n.startswith(peers) else m for n, m in merges.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    args = command.arguments(__doc__ or "", argv)
    volume = QUICK_VOLUME if args.quick else VOLUME
    found, total = competitors(volume)
    title = (
        f"Windows of {SLICES} slices at stride {STRIDE} -> {'x'.join(map(str, volume[::-1]))}, "
        f"{total / 1e6:.0f} MB in and out"
    )
    table = timing.race(
        timing.Task(title, total / 1e9, "GB/s"),
        found,
        baseline="copy",
        rounds=QUICK_ROUNDS if args.quick else ROUNDS,
        warm_up=1,
    )
    command.publish([table], args.json)
    print(f"vfseg is {fastest(SLICES)} here")
    for name in ("torch", "monai"):
        if not installed(name):
            print(f"left out: {name}: not installed (pip install -e '.[bench]')")


if __name__ == "__main__":
    main()
