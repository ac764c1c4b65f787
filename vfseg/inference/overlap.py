"""Overlapping windows of slices, joined into one stack: one sum (or maximum) in several forms.

A window predicts `k` neighbouring slices of a crop, and neighbouring windows overlap, so a slice
receives several predictions. What is joined are the terms of a fusion rule (see `fusion`): their
sum, or their maximum.

The same sum can be compiled in several forms, and the obvious one is not the fast one:

- `scatter`: every predicted slice is added to its target. Writes collide, so a CPU takes them one
  by one, and a GPU takes them in an order that may differ between runs.
- `window`: a scan adds one window after the other to its part of the stack, in place.
- `shift`: all windows are laid over each other by padding (equally spaced windows only).
- `gather`: turned round, every target slice asks for its predictions. No two writes meet, and all
  terms come from one reading. A small table says which window lies over which slice.

`benchmarks/fusion.py` and `merge.py` time them side by side; `FASTEST` holds the outcome for
windows that do overlap. Where every slice has one prediction, as within a crop whose slices are
encoded once, `gather` only copies: see `fastest`.

Sums of floats depend on their order. Every form therefore adds in canonical order, ascending start,
whatever the order in which windows are handed in: the result is the same to the last bit.
"""

from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike

from vfseg.inference.fusion import COUNT_DTYPE, Fused, FusionRule

METHODS = ("gather", "shift", "window", "scatter")

#: What `method=None` stands for where windows overlap, by backend. `cpu` is measured; `other` is
#: not: a form without colliding writes, which an accelerator may add in a different order in every
#: run.
FASTEST = {"cpu": "window", "other": "gather"}


def fastest(slices: int) -> str:
    """The method known to be fastest here for windows of so many slices."""
    if slices == 1:  # nothing overlaps, nothing is added
        return "gather"
    return FASTEST.get(jax.default_backend(), FASTEST["other"])


def fuse_slices(
    predictions: Array,
    starts: ArrayLike,
    length: int,
    *,
    rule: FusionRule,
    threshold: float,
    method: str | None = None,
) -> Fused:
    """Fuses overlapping windows of consecutive slices into one stack of slices.

    Window `i` predicts the slices `starts[i] .. starts[i] + k - 1`. What lies outside the stack is
    dropped; a window wholly outside (one that only fills up a batch, say) contributes nothing.

    Args:
        predictions: scores `n k a b`, any float dtype; the terms are taken in float32.
        starts: `n` integers in any order, known at compile time (not traced). Other values do not
            compile anew as long as the largest number of windows over a slice stays the same.
        length: number of slices of the stack.
        rule: of the fusion; `FusionRule.centred` is a matter of crops and is not looked at here.
        threshold: slice threshold of the vote; a score equal to it counts.
        method: one of `METHODS`; None takes the `fastest`.

    Returns:
        State of shape `length a b`; weights that only count are `length 1 1`.

    Raises:
        ValueError: shapes that do not fit; two windows at the same place, whose order would be
            undefined (fuse them apart and join the states); an unknown method; `shift` with
            windows that are not equally spaced.
    """
    starts = np.asarray(starts, np.int32)
    if predictions.ndim != 4 or starts.shape != predictions.shape[:1] or not starts.size:
        raise ValueError(
            f"predictions {predictions.shape} not n k a b or starts {starts.shape} not n"
        )
    method = method or fastest(predictions.shape[1])
    if method not in METHODS:
        raise ValueError(f"no method {method!r} to fuse slices; there are {', '.join(METHODS)}")
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
        terms = _gather(predictions, limit, entry.astype(np.int32), covers, rule=rule)
    else:
        if np.any(np.diff(order) < 0):
            predictions = predictions[order]
        if method == "shift":
            stride = _stride(starts, k)
            terms = _shift(predictions, limit, starts[0], stride=stride, length=length, rule=rule)
        else:
            placed = {"window": _window, "scatter": _scatter}[method]
            terms = placed(predictions, limit, starts, length=length, rule=rule)
    if len(terms) == 2:
        return Fused(*terms)
    count = rule.counted((last - first)[:, None, None])
    return Fused(terms[0], jnp.asarray(count, COUNT_DTYPE))


@partial(jax.jit, static_argnames="rule")
def _gather(predictions, threshold, entry, covers, *, rule):
    """Slice z joins those predictions in `entry[z]` for which `covers[z]`, [length overlap]."""
    slices = predictions.reshape(-1, *predictions.shape[2:])  # [(n k) a b]
    slices = slices.at[entry].get(mode="promise_in_bounds")
    terms = [jnp.where(covers[:, :, None, None], x, 0) for x in rule.terms(slices, threshold)]
    # One reduction of all terms, not one of each: XLA then fuses the gather, the terms and their
    # sums into a single loop, and the gathered copy is never written.
    zeros = [np.zeros((), x.dtype) for x in terms]
    join = rule.join.traced
    return tuple(lax.reduce(terms, zeros, lambda x, y: [*map(join, x, y)], (1,)))


def _stride(starts: np.ndarray, k: int) -> int:
    strides = set(np.diff(starts).tolist()) or {k}
    if len(strides) > 1:
        raise ValueError(f"shift needs equally spaced windows, not {starts.tolist()}")
    return strides.pop()


@partial(jax.jit, static_argnames=("stride", "length", "rule"))
def _shift(predictions, threshold, start, *, stride, length, rule):
    """Windows are cut into parts of `stride` slices; the p-th parts of all lie end to end."""
    n, k, a, b = predictions.shape
    parts = -(-k // stride)  # static and small: how many windows lie over one slice
    flat = (0, 0), (0, 0)

    def overlay(x):
        x = jnp.pad(x, ((0, 0), (0, parts * stride - k), *flat)).reshape(n, parts, stride, a, b)
        laid = [jnp.pad(x[:, p], ((p, parts - 1 - p), (0, 0), *flat)) for p in range(parts)]
        total = reduce(rule.join.traced, reversed(laid))  # the earliest window first
        return _take(total.reshape(-1, a, b), jnp.arange(length) - start)

    return tuple(map(overlay, rule.terms(predictions, threshold)))


@partial(jax.jit, static_argnames=("length", "rule"))
def _window(predictions, threshold, starts, *, length, rule):
    """Joins the terms of window 0, 1, ... to their part of the stack in place, in turn.

    A window is moved to the nearest place where it fits as a whole and its content is moved back,
    which cuts off what lies outside: no margins around a large stack, no second copy of it.
    """
    k, a, b = predictions.shape[1:]
    size = max(length, k)

    def add(canvas, one):
        window, start = one
        corner = jnp.clip(start, 0, size - k)

        def join(stack, block):
            block = _take(block, jnp.arange(k) + corner - start)
            part = lax.dynamic_slice(stack, (corner, 0, 0), block.shape)
            return lax.dynamic_update_slice(stack, rule.join.traced(part, block), (corner, 0, 0))

        return [*map(join, canvas, rule.terms(window, threshold))], None

    like = jax.eval_shape(rule.terms, predictions[0], threshold)
    canvas, _ = lax.scan(
        add, [jnp.zeros((size, a, b), x.dtype) for x in like], (predictions, starts)
    )
    return tuple(x[:length] for x in canvas)


@partial(jax.jit, static_argnames=("length", "rule"))
def _scatter(predictions, threshold, starts, *, length, rule):
    """The same with one scatter of all windows at once."""
    target = starts[:, None] + jnp.arange(predictions.shape[1])[None]

    def place(x):
        stack = jnp.zeros((length, *x.shape[2:]), x.dtype).at[target]
        return getattr(stack, rule.join.name)(x, mode="drop", wrap_negative_indices=False)

    return tuple(map(place, rule.terms(predictions, threshold)))


def _take(x: Array, index: Array) -> Array:
    """`x[index]`; 0 where the index falls outside, also below 0."""
    return x.at[index].get(mode="fill", fill_value=0, wrap_negative_indices=False)
