"""Fusion: from overlapping predictions back to one volume.

A window predicts `k` neighbouring slices of a crop, and neighbouring windows overlap; the crops of
neighbouring vertebrae overlap again in the grid of the case. Both times a voxel receives several
predictions, and fusion is a sum over them::

    mean = sum of the scores / number of predictions
    vote = number of the scores that reach the slice threshold / number of predictions

`Fused` keeps the three numbers apart until the end, so that states of windows, boxes and planes may
simply be added. A voxel that nobody predicted has count 0, and its mean and vote are 0.

The same sum can be compiled in several forms, and the obvious one is not the fast one:

- `scatter`: every predicted voxel is added to its target. Writes collide, so a CPU takes them one
  by one, and a GPU takes them in an order that may differ between runs.
- `window`: a scan adds one window (or box) after the other to its part of the volume, in place.
- `shift`: all windows are laid over each other by padding (equally spaced windows of slices only).
- `gather`: turned round, every target slice asks for its predictions. No two writes meet, and score
  and vote come from one reading. A small table says which window lies over which slice; for boxes
  in three dimensions no such table is small, and the form does not exist.

`benchmarks/fusion.py` times them side by side; `FASTEST` holds the outcome.

Sums of floats depend on their order. Every form therefore adds in canonical order, ascending start,
whatever the order in which windows or boxes are handed in: the result is the same to the last bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike

SLICE_METHODS = ("gather", "shift", "window", "scatter")
BOX_METHODS = ("window", "scatter")

#: What `method=None` stands for, by backend. `cpu` is measured; `other` is not: forms without
#: colliding writes, which an accelerator may add in a different order in every run.
FASTEST = {
    "slices": {"cpu": "gather", "other": "gather"},
    "boxes": {"cpu": "window", "other": "window"},
}

#: Votes and counts: exact up to 65,535 predictions of a voxel, in half the memory of int32.
COUNT_DTYPE = jnp.uint16


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fused:
    """Additive state of a fusion; the fields have one rank and broadcast to one shape.

    Attributes:
        score_sum: sum of the predicted scores, float32.
        votes: number of predictions that reach the slice threshold, unsigned integer.
        count: number of predictions, unsigned integer; of length 1 along axes where it is constant.

    Example:
        >>> once = Fused(jnp.array([0.25, 0.0]), jnp.array([0, 0]), jnp.array([1, 0]))
        >>> twice = once + Fused(jnp.array([0.75, 0.0]), jnp.array([1, 0]), jnp.array([1, 0]))
        >>> print(twice.mean(), twice.vote())
        [0.5 0. ] [0.5 0. ]
    """

    score_sum: Array
    votes: Array
    count: Array

    def __add__(self, other: "Fused") -> "Fused":
        """The predictions of both states together, voxel by voxel."""
        return jax.tree.map(jnp.add, self, other)

    def mean(self) -> Array:
        """Mean score, float32; 0 where nothing was predicted."""
        return jnp.where(self.count > 0, self.score_sum / jnp.maximum(self.count, 1), 0)

    def vote(self) -> Array:
        """Share of the predictions that reach the slice threshold, 0..1; 0 where there are none."""
        return self.votes / jnp.maximum(self.count, 1).astype(jnp.float32)


def fuse_slices(
    predictions: Array,
    starts: ArrayLike,
    length: int,
    *,
    threshold: float,
    method: str | None = None,
) -> Fused:
    """Fuses overlapping windows of consecutive slices into one stack of slices.

    Window `i` predicts the slices `starts[i] .. starts[i] + k - 1`. What lies outside the stack is
    dropped; a window wholly outside (one that only fills up a batch, say) contributes nothing.

    Args:
        predictions: scores `n k a b`, any float dtype; summed in float32.
        starts: `n` integers in any order, known at compile time (not traced). Other values do not
            compile anew as long as the largest number of windows over a slice stays the same.
        length: number of slices of the stack.
        threshold: slice threshold of the vote; a score equal to it counts.
        method: one of `SLICE_METHODS`; None takes the fastest known for the backend.

    Returns:
        State of shape `length a b`; its count is `length 1 1`.

    Raises:
        ValueError: shapes that do not fit; two windows at the same place, whose order would be
            undefined (fuse them apart and add the states); an unknown method; `shift` with windows
            that are not equally spaced.
    """
    starts = np.asarray(starts, np.int32)
    if predictions.ndim != 4 or starts.shape != predictions.shape[:1] or not starts.size:
        raise ValueError(
            f"predictions {predictions.shape} not n k a b or starts {starts.shape} not n"
        )
    method = _choose("slices", SLICE_METHODS, method)
    order = np.argsort(starts, kind="stable")
    starts, k, z = starts[order], predictions.shape[1], np.arange(length)
    # Over slice z lie the windows first[z] .. last[z] - 1 of the sorted ones.
    first, last = np.searchsorted(starts, z - k, "right"), np.searchsorted(starts, z, "right")
    if np.any(np.diff(starts[min(first) : max(last)]) == 0):
        raise ValueError(f"some windows have the same start: {starts.tolist()}")
    limit = np.float32(threshold)
    if method == "gather":
        window = first[:, None] + np.arange(max(1, *(last - first)))  # [length overlap]
        covers = window < last[:, None]
        window = np.where(covers, window, 0)
        entry = np.where(covers, order[window] * k + z[:, None] - starts[window], 0)
        score_sum, votes = _gather(predictions, limit, entry.astype(np.int32), covers)
    else:
        if np.any(np.diff(order) < 0):
            predictions = predictions[order]
        if method == "shift":
            static = {"stride": _stride(starts, k), "length": length}
            score_sum, votes = _shift(predictions, limit, starts[0], **static)
        else:
            score_sum, votes = _place_windows(predictions, limit, starts, method, length)
    count = jnp.asarray((last - first)[:, None, None], COUNT_DTYPE)
    return Fused(score_sum, votes, count)


def fuse_boxes(
    boxes: Fused,
    starts: ArrayLike,
    shape: tuple[int, int, int],
    *,
    method: str | None = None,
) -> Fused:
    """Adds the fused crops of a case into its grid.

    A box may reach beyond the grid on any side, or lie outside: it is cut to the grid.

    Args:
        boxes: states stacked along a first axis `m`; the fields broadcast to `m D H W`.
        starts: first voxel of each box in the grid, integers `m 3`, possibly negative. Dynamic: one
            compilation serves every case with as many boxes and the same grid. Boxes with equal
            starts are added in the order given; among all others the order does not matter.
        shape: the grid `d h w`, in voxels.
        method: one of `BOX_METHODS`; None takes the fastest known for the backend.

    Returns:
        State whose three fields have the shape `d h w`.

    Raises:
        ValueError: shapes that do not fit, or an unknown method.
    """
    starts = jnp.asarray(starts, jnp.int32)
    size = jnp.broadcast_shapes(*(field.shape for field in jax.tree.leaves(boxes)))
    if len(size) != 4 or starts.shape != (size[0], 3):
        raise ValueError(f"boxes {size} not m D H W or starts {starts.shape} not m 3")
    method = _choose("boxes", BOX_METHODS, method)
    return _place_boxes(boxes, starts, method, size[1:], tuple(shape))


def _choose(what: str, methods: tuple[str, ...], method: str | None) -> str:
    chosen = method or FASTEST[what].get(jax.default_backend(), FASTEST[what]["other"])
    if chosen not in methods:
        raise ValueError(f"no method {chosen!r} to fuse {what}; there are {', '.join(methods)}")
    return chosen


def _scored(predictions: Array, threshold: Array) -> tuple[Array, Array]:
    scores = predictions.astype(jnp.float32)
    return scores, (scores >= threshold).astype(COUNT_DTYPE)


@jax.jit
def _gather(predictions, threshold, entry, covers):
    """Slice z sums its predictions: those in `entry[z]` for which `covers[z]`, [length overlap]."""
    slices = predictions.reshape(-1, *predictions.shape[2:])  # [(n k) a b]
    scores, votes = _scored(slices.at[entry].get(mode="promise_in_bounds"), threshold)
    pair = [jnp.where(covers[:, :, None, None], x, 0) for x in (scores, votes)]
    # One reduction of the pair, not one of each: XLA then fuses the gather, the comparison and
    # both sums into a single loop, and the gathered copy is never written.
    zeros = [np.zeros((), x.dtype) for x in pair]
    return lax.reduce(pair, zeros, lambda x, y: (x[0] + y[0], x[1] + y[1]), (1,))


def _stride(starts: np.ndarray, k: int) -> int:
    strides = set(np.diff(starts).tolist()) or {k}
    if len(strides) > 1:
        raise ValueError(f"shift needs equally spaced windows, not {starts.tolist()}")
    return strides.pop()


@partial(jax.jit, static_argnames=("stride", "length"))
def _shift(predictions, threshold, start, *, stride, length):
    """Windows are cut into parts of `stride` slices; the p-th parts of all lie end to end."""
    n, k, a, b = predictions.shape
    parts = -(-k // stride)  # static and small: how many windows lie over one slice
    flat = (0, 0), (0, 0)

    def overlap_add(x):
        x = jnp.pad(x, ((0, 0), (0, parts * stride - k), *flat)).reshape(n, parts, stride, a, b)
        laid = [jnp.pad(x[:, p], ((p, parts - 1 - p), (0, 0), *flat)) for p in range(parts)]
        total = sum(reversed(laid), start=jnp.zeros((), x.dtype))  # the earliest window first
        return _take(total.reshape(-1, a, b), jnp.arange(length) - start, axis=0)

    return tuple(map(overlap_add, _scored(predictions, threshold)))


@partial(jax.jit, static_argnames=("method", "length"))
def _place_windows(predictions, threshold, starts, method, length):
    blocks = partial(_scored, threshold=threshold)
    return _PLACE[method](blocks, predictions, starts[:, None], (length, *predictions.shape[2:]))


@partial(jax.jit, static_argnames=("method", "box", "shape"))
def _place_boxes(boxes, starts, method, box, shape):
    def blocks(fields):
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-3], *box)), fields)

    order = jnp.lexsort(starts.T[::-1])  # by start along d, then h, then w; stable
    boxes = jax.tree.map(lambda x: x[order], boxes)
    return _PLACE[method](blocks, boxes, starts[order], shape)


def _window(blocks: Callable, given: Any, starts: Array, shape: tuple[int, ...]) -> Any:
    """Adds the pytrees of arrays `blocks(given[0])`, `blocks(given[1])`, ... in place, in turn.

    `starts`, `[n s]`, says where block i begins along the first s axes of `shape`.
    """

    def add(canvas, one):
        item, start = one
        return jax.tree.map(partial(_add_block, start=start), canvas, blocks(item)), None

    like = jax.eval_shape(blocks, jax.tree.map(lambda x: x[0], given))
    canvas = jax.tree.map(lambda x: jnp.zeros(np.maximum(shape, x.shape), x.dtype), like)
    canvas, _ = lax.scan(add, canvas, (given, starts))
    return jax.tree.map(lambda x: x[tuple(map(slice, shape))], canvas)


def _add_block(canvas: Array, block: Array, start: Array) -> Array:
    """Adds a block to its part of a canvas that is nowhere smaller.

    The block is moved to the nearest place where it fits as a whole and its content is moved back,
    which cuts off what lies outside: no margins around a large canvas, no second copy of it.
    """
    corner = jnp.clip(start, 0, np.subtract(canvas.shape, block.shape)[: start.size])
    for axis in range(start.size):
        index = jnp.arange(block.shape[axis]) + corner[axis] - start[axis]
        block = _take(block, index, axis)
    at = [*corner, *[0] * (canvas.ndim - start.size)]
    part = lax.dynamic_slice(canvas, at, block.shape)
    return lax.dynamic_update_slice(canvas, part + block, at)


def _scatter(blocks: Callable, given: Any, starts: Array, shape: tuple[int, ...]) -> Any:
    """The same with one scatter-add of all blocks at once."""

    def add(x):
        spans = [jnp.arange(size) for size in x.shape[1 : starts.shape[1] + 1]]
        target = jax.vmap(
            lambda s: jnp.meshgrid(*map(jnp.add, spans, s), indexing="ij", sparse=True)
        )
        grid = jnp.zeros(shape, x.dtype).at[tuple(target(starts))]
        return grid.add(x, mode="drop", wrap_negative_indices=False)

    return jax.tree.map(add, blocks(given))


_PLACE = {"window": _window, "scatter": _scatter}


def _take(x: Array, index: Array, axis: int) -> Array:
    """`x[index]` along one axis; 0 where the index falls outside, also below 0."""
    rows = x.at[(slice(None),) * axis + (index,)]
    return rows.get(mode="fill", fill_value=0, wrap_negative_indices=False)
