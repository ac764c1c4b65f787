"""Fusion of overlapping windows and boxes: every form, a NumPy loop, and a plain copy.

`python -m benchmarks.fusion [--quick] [--json FILE]`

The outputs of all forms are compared, bit for bit, before anything is timed. The copy moves as many
bytes, read and written together, as the fusion must: its predictions in, its three fields out. A
form near ratio 1 therefore works at the speed of the memory.

Two forms exist only here, as others would write them: adding every window to the whole volume, and
`segment_sum` over slices.

The forms return fresh, fully written volumes. NumPy's zeros are pages that the system fills only
when they are touched, so where boxes leave most of a grid empty, the NumPy loop does less work.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks import timing
from vfseg.inference.fusion import (
    BOX_METHODS,
    COUNT_DTYPE,
    FASTEST,
    SLICE_METHODS,
    Fused,
    fuse_boxes,
    fuse_slices,
)

THRESHOLD = 0.5

# volume, slices in a window, stride
WINDOWS = [((96, 128, 128), 8, 2), ((256, 256, 256), 8, 2)]
WINDOWS_QUICK = [((48, 64, 64), 8, 2)]
# grid, box, number of vertebrae
BOXES = [((384, 224, 224), (64, 64, 64), 14)]
BOXES_QUICK = [((96, 64, 64), (32, 32, 32), 14)]


def windows(volume: tuple[int, int, int], k: int, stride: int, rounds: int) -> timing.Table:
    """Dense windows of `k` slices at a stride, over the whole volume."""
    starts = np.arange(0, volume[0] - k + 1, stride)
    shape = (len(starts), k, *volume[1:])
    scores = np.random.default_rng(0).random(shape, np.float32)
    on_device = jnp.asarray(scores)

    def loop() -> list[np.ndarray]:
        score_sum = np.zeros(volume, np.float32)
        votes = np.zeros(volume, np.uint16)
        count = np.zeros((volume[0], 1, 1), np.uint16)
        for window, start in zip(scores, starts):
            score_sum[start : start + k] += window
            votes[start : start + k] += window >= THRESHOLD
            count[start : start + k] += 1
        return [score_sum, votes, count]

    def fuse(method: str) -> Fused:
        return fuse_slices(on_device, starts, volume[0], threshold=THRESHOLD, method=method)

    title = f"{len(starts)} windows of {k} slices at stride {stride} -> {_by(volume)}"
    forms = {method: partial(fuse, method) for method in SLICE_METHODS}
    forms["full-volume add"] = partial(full_volume_add, on_device, starts, length=volume[0])
    forms["segment_sum"] = partial(segment_sum, on_device, starts, length=volume[0])
    return _race(title, forms, loop, scores.nbytes, rounds)


@partial(jax.jit, static_argnames="length")
def full_volume_add(predictions: Array, starts: Array, *, length: int) -> Fused:
    """Adds every window `k a b` of `n k a b`, zeros around it, to the whole volume, in turn."""

    def place(field: Array, start: Array) -> Array:
        # Not by updating a slice of zeros: XLA sees through that and adds the slice in place.
        rows = field.at[jnp.arange(length) - start]
        return rows.get(mode="fill", fill_value=0, wrap_negative_indices=False)

    def add(total: Fused, one: tuple[Array, Array]) -> tuple[Fused, None]:
        window, start = one
        return total + jax.tree.map(partial(place, start=start), _fields(window)), None

    like = jax.eval_shape(_fields, predictions[0])
    empty = jax.tree.map(lambda x: jnp.zeros((length, *x.shape[1:]), x.dtype), like)
    return lax.scan(add, empty, (predictions, starts))[0]


@partial(jax.jit, static_argnames="length")
def segment_sum(predictions: Array, starts: Array, *, length: int) -> Fused:
    """The slices of all windows `n k a b`, summed by the slice of the volume they belong to."""
    n, k, a, b = predictions.shape
    target = (starts[:, None] + np.arange(k)).reshape(n * k)
    fields = _fields(predictions.reshape(n * k, a, b))
    return jax.tree.map(lambda x: jax.ops.segment_sum(x, target, length), fields)


def _fields(slices: Array) -> Fused:
    votes = (slices >= THRESHOLD).astype(COUNT_DTYPE)
    return Fused(slices, votes, jnp.ones((slices.shape[0], 1, 1), COUNT_DTYPE))


def boxes(
    grid: tuple[int, int, int], box: tuple[int, int, int], m: int, rounds: int
) -> timing.Table:
    """Boxes strung along the first axis as vertebrae are, overlapping, the last beyond the end."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, np.subtract(grid, box) // 2, (m, 3))
    starts[:, 0] = np.linspace(-box[0] // 4, grid[0] - box[0] // 2, m)
    fields: list[np.ndarray] = [
        rng.random((m, *box), np.float32),
        rng.integers(0, 5, (m, *box)).astype(np.uint16),
        np.full((m, box[0], 1, 1), 4, np.uint16),
    ]
    on_device = Fused(*map(jnp.asarray, fields))

    def loop() -> list[np.ndarray]:
        out = [np.zeros(grid, field.dtype) for field in fields]
        for i, start in enumerate(starts):
            low, high = np.maximum(start, 0), np.minimum(start + box, grid)
            inside = tuple(map(slice, low, high))
            part = tuple(map(slice, low - start, high - start))
            for volume, field in zip(out, fields):
                volume[inside] += np.broadcast_to(field[i], box)[part]
        return out

    def fuse(method: str) -> Fused:
        return fuse_boxes(on_device, starts, grid, method=method)

    title = f"{m} boxes of {_by(box)} -> {_by(grid)}"
    forms = {method: partial(fuse, method) for method in BOX_METHODS}
    return _race(title, forms, loop, sum(field.nbytes for field in fields), rounds)


def _race(
    title: str,
    forms: Mapping[str, Callable[[], Fused]],
    loop: Callable[[], list[np.ndarray]],
    bytes_in: int,
    rounds: int,
) -> timing.Table:
    expected = loop()
    for name, form in forms.items():
        for got, wanted in zip(jax.tree.leaves(form()), expected, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=f"{title}: {name}")
    total = bytes_in + sum(field.nbytes for field in expected)
    source = jnp.zeros(total // 8, jnp.float32)  # half is read, half is written
    copy = jax.jit(jnp.copy)
    competitors = {"copy": lambda: copy(source), **forms, "NumPy loop": loop}
    return timing.race(
        f"{title}, {total / 1e6:.0f} MB in and out",
        competitors,
        baseline="copy",
        work=total / 1e9,
        unit="GB/s",
        rounds=rounds,
    )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def main() -> None:
    """Runs all sizes and prints one table each."""
    args = timing.arguments(__doc__ or "")
    rounds = 5 if args.quick else 25
    tables = [windows(*size, rounds) for size in (WINDOWS_QUICK if args.quick else WINDOWS)]
    tables += [boxes(*size, rounds) for size in (BOXES_QUICK if args.quick else BOXES)]
    timing.publish(tables, args.json)
    chosen = {
        what: table.get(jax.default_backend(), table["other"]) for what, table in FASTEST.items()
    }
    print(f"\nthe package uses {chosen['slices']} for windows and {chosen['boxes']} for boxes here")


if __name__ == "__main__":
    main()
