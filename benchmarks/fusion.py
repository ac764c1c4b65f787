"""Fusion of overlapping windows and boxes: every form, a NumPy loop, and a plain copy.

`python -m benchmarks.fusion [--quick] [--json FILE]`

The outputs of all forms are compared, bit for bit, before anything is timed. The copy moves as many
bytes, read and written together, as the fusion must: its predictions in, its two fields out. A form
near ratio 1 therefore works at the speed of the memory.

Some forms exist only here, as others would write them: adding every window to the whole volume, and
`segment_sum` over slices; for boxes, a compiled scan that adds one after the other in place, and
one scatter. These last two compile anew for every size of the grid, which is not in their times;
the package joins boxes on the host.

The compiled forms return fresh, fully written volumes. NumPy's zeros are pages that the system
fills only when they are touched, so where boxes leave most of a grid empty it does less work.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks import command, timing
from vfseg.inference.fusion import COUNT_DTYPE, RULES, Fused, fuse_boxes
from vfseg.inference.overlap import METHODS, fastest, fuse_slices

RULE = RULES["mean"]

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
        total = np.zeros(volume, np.float32)
        count = np.zeros((volume[0], 1, 1), COUNT_DTYPE)
        for window, start in zip(scores, starts):
            total[start : start + k] += window
            count[start : start + k] += 1
        return [total, count]

    def fuse(method: str) -> Fused:
        return fuse_slices(on_device, starts, volume[0], rule=RULE, threshold=0.5, method=method)

    title = f"{len(starts)} windows of {k} slices at stride {stride} -> {_by(volume)}"
    forms = {method: partial(fuse, method) for method in METHODS}
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
        placed = jax.tree.map(partial(place, start=start), _fields(window))
        return jax.tree.map(jnp.add, total, placed), None

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
    return Fused(slices, jnp.ones((slices.shape[0], 1, 1), COUNT_DTYPE))


def boxes(
    grid: tuple[int, int, int], box: tuple[int, int, int], m: int, rounds: int
) -> timing.Table:
    """Boxes strung along the first axis of a grid as vertebrae are, overlapping."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, np.subtract(grid, box) // 2, (m, 3))
    starts[:, 0] = np.linspace(0, grid[0] - box[0], m)
    starts[0], starts[-1] = 0, np.subtract(grid, box)
    places = [(int(d), int(h), int(w)) for d, h, w in starts]
    total = rng.random((m, *box), np.float32)
    count = np.full((m, box[0], 1, 1), 4, COUNT_DTYPE)
    states = [Fused(*state) for state in zip(total, count)]
    stacked = Fused(jnp.asarray(total), jnp.asarray(np.broadcast_to(count, total.shape)))

    def loop() -> list[np.ndarray]:
        out = [np.zeros(grid, field.dtype) for field in (total, count)]
        for i, start in enumerate(starts):
            inside = tuple(slice(a, a + n) for a, n in zip(start, box))
            for volume, field in zip(out, (total, count)):
                volume[inside] += field[i]
        return out

    title = f"{m} boxes of {_by(box)} -> {_by(grid)}"
    forms: dict[str, Callable[[], Fused]] = {
        "package, on the host": lambda: fuse_boxes(states, places, RULE)[1],
        "compiled scan": partial(add_boxes, stacked, jnp.asarray(starts), grid=grid),
        "scatter": partial(scatter_boxes, stacked, jnp.asarray(starts), grid=grid),
    }
    return _race(title, forms, loop, total.nbytes + count.nbytes, rounds)


@partial(jax.jit, static_argnames="grid")
def add_boxes(states: Fused, starts: Array, *, grid: tuple[int, int, int]) -> Fused:
    """Adds box 0, 1, ... to its part of the grid in place, in turn."""

    def add(canvas: Fused, one: tuple[Fused, Array]) -> tuple[Fused, None]:
        state, start = one

        def place(volume: Array, field: Array) -> Array:
            part = lax.dynamic_slice(volume, start, field.shape)
            return lax.dynamic_update_slice(volume, part + field, start)

        return jax.tree.map(place, canvas, state), None

    empty = jax.tree.map(lambda x: jnp.zeros(grid, x.dtype), states)
    return lax.scan(add, empty, (states, starts))[0]


@partial(jax.jit, static_argnames="grid")
def scatter_boxes(states: Fused, starts: Array, *, grid: tuple[int, int, int]) -> Fused:
    """The same with one scatter-add of all boxes at once."""

    def place(field: Array) -> Array:
        d, h, w = (
            starts[:, axis].reshape(-1, 1, 1, 1)
            + jnp.arange(field.shape[axis + 1]).reshape(
                [-1 if a == axis + 1 else 1 for a in range(4)]
            )
            for axis in range(3)
        )
        return jnp.zeros(grid, field.dtype).at[d, h, w].add(field)

    return jax.tree.map(place, states)


def _race(
    title: str,
    forms: Mapping[str, Callable[[], Fused]],
    loop: Callable[[], list[np.ndarray]],
    bytes_in: int,
    rounds: int,
) -> timing.Table:
    expected = loop()
    for name, form in forms.items():
        for got, wanted in zip(form(), expected, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=f"{title}: {name}")
    total = bytes_in + sum(field.nbytes for field in expected)
    source = jnp.zeros(total // 8, jnp.float32)  # half is read, half is written
    copy = jax.jit(jnp.copy)
    competitors = {"copy": lambda: copy(source), **forms, "NumPy loop": loop}
    return timing.race(
        timing.Task(f"{title}, {total / 1e6:.0f} MB in and out", total / 1e9, "GB/s"),
        competitors,
        baseline="copy",
        rounds=rounds,
    )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def main() -> None:
    """Runs all sizes and prints one table each."""
    args = command.arguments(__doc__ or "")
    rounds = 5 if args.quick else 25
    tables = [windows(*size, rounds) for size in (WINDOWS_QUICK if args.quick else WINDOWS)]
    tables += [boxes(*size, rounds) for size in (BOXES_QUICK if args.quick else BOXES)]
    command.publish(tables, args.json)
    print(
        f"\nthe package uses {fastest(2)} for overlapping windows here, and joins boxes on the host"
    )


if __name__ == "__main__":
    main()
