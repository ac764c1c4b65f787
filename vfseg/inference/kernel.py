"""The fusion kernel: predictions of crops, joined where they lie in the volume of their case.

One compiled function adds a crop, seen in all of its views, to its place in the volume, under any
rule (see `fusion`). The volume stays on the device and is changed in place. Its sides are rounded
up to multiples of 32 voxels: cases of about a size share a program, and what is added to them adds
nothing.

Sums of floats depend on their order, so all is joined in a canonical one: planes in the order of
the axes, views as `Views` lists them, crops by ascending start. The order in which anything is
handed in does not change a bit of the result.

References:
    Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", The American
    Statistician; Welford (1962), "Note on a method for calculating corrected sums of squares and
    products", Technometrics (mean and variance of predictions that come one after the other).
"""

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vfseg.data.box import box_between, shape_of, start_of, triple
from vfseg.inference.fusion import RULES, Fused, FusionRule, centre_weight

SIDE = 32
"""Of which the sides of the volume are multiples, voxels."""
Triple = tuple[int, int, int]


class Moments(NamedTuple):
    """Of the predictions of each voxel, float32 `d h w`.

    Attributes:
        mean: of them.
        squares: sum of their squared deviations from it.
        number: how many there are.
    """

    mean: Array
    squares: Array
    number: Array


class Canvas(NamedTuple):
    """What was joined so far.

    Attributes:
        fused: two numbers a voxel, `d h w`, sides rounded up.
        moments: None where nobody asked for the spread.
    """

    fused: Fused
    moments: Moments | None


class Joined(NamedTuple):
    """The predictions of a case, joined on its grid.

    Attributes:
        origin: case-grid index of the first voxel.
        extent: of the smallest box that holds all crops; what the arrays have beyond it is empty.
        fused: two numbers a voxel.
        spread: standard deviation of the predictions of a voxel, float32 in 0..0.5, 0 where there
            is none; None where nobody asked.
    """

    origin: Triple
    extent: Triple
    fused: Fused
    spread: Array | None


def fuse_crops(
    predictions: Iterable[np.ndarray | Array],
    starts: Sequence[Triple],
    *,
    fusion: str,
    slice_threshold: float,
    spread: bool,
) -> Joined:
    """Joins all predictions of a case.

    Args:
        predictions: of each crop, probabilities `v d h w`, all of one shape; taken one by one.
            Crops that come by ascending start are added as they come; others wait for their turn.
        starts: first voxel of each crop in the case grid; may be negative. Crops with equal starts
            are joined in the order given; among all others the order does not matter.
        fusion: one of `FUSIONS`.
        slice_threshold: probability from which a prediction votes; one that is equal votes.
        spread: whether the spread is asked for.

    Raises:
        ValueError: there are fewer predictions than starts, or none.
    """
    order, turn, waiting = canonical(starts), 0, dict[int, np.ndarray | Array]()
    canvas: Canvas | None = None
    for number, answers in enumerate(predictions):
        waiting[number] = answers
        if canvas is None:
            origin, extent = bounds(starts, answers.shape[1:])
            canvas = empty(extent, spread=spread)
        while turn < len(order) and order[turn] in waiting:
            start = np.subtract(starts[order[turn]], origin).astype(np.int32)
            answers = waiting.pop(order[turn])
            canvas = add_crop(canvas, answers, start, slice_threshold, rule=RULES[fusion])
            turn += 1
    if canvas is None or turn < len(order):
        raise ValueError(f"{len(starts)} crops, and {turn} of them predicted")
    return Joined(origin, extent, canvas.fused, canvas.moments and _deviation(canvas.moments))


def empty(extent: Triple, *, spread: bool) -> Canvas:
    """A canvas on which a box of this extent has room, and nothing is yet."""
    shape = tuple(-(-side // SIDE) * SIDE for side in extent)

    def zeros() -> Array:
        return jnp.zeros(shape, jnp.float32)

    moments = Moments(zeros(), zeros(), zeros()) if spread else None
    return Canvas(Fused(zeros(), zeros()), moments)


@partial(jax.jit, static_argnames="rule", donate_argnames="canvas")
def add_crop(
    canvas: Canvas, answers: Array, start: Array, threshold: Array | float, *, rule: FusionRule
) -> Canvas:
    """Joins the predictions of a crop to what is there.

    Args:
        canvas: gone afterwards.
        answers: probabilities `v d h w`, views in canonical order.
        start: [3] int32, first voxel of the crop on the canvas.
        threshold: from which a prediction votes.
        rule: of the fusion.
    """
    shape = triple(answers.shape[1:])
    terms = [rule.terms(answer, threshold) for answer in answers]
    total = reduce(rule.join, [term[0] for term in terms])
    weight = jnp.full(shape, rule.counted(len(terms)), jnp.float32)
    if len(terms[0]) > 1:
        weight = reduce(rule.join, [term[1] for term in terms])
    if rule.centred:
        centre = centre_weight(shape)
        total, weight = total * centre, weight * centre

    def here(field: Array) -> Array:
        return lax.dynamic_slice(field, start, shape)

    def put(field: Array, part: Array) -> Array:
        return lax.dynamic_update_slice(field, part, start)

    parts = Fused(total, weight)
    fused = Fused(*(put(x, rule.join(here(x), part)) for x, part in zip(canvas.fused, parts)))
    if canvas.moments is None:
        return Canvas(fused, None)
    before = Moments(*map(here, canvas.moments))
    return Canvas(fused, Moments(*map(put, canvas.moments, _together(before, _moments(answers)))))


def _moments(answers: Array) -> Moments:
    """Of the views of a crop. No difference of large sums: equal predictions have no spread."""
    mean, squares = answers[0], jnp.zeros(answers.shape[1:], jnp.float32)
    for number, answer in enumerate(answers[1:], 2):
        away = answer - mean
        mean = mean + away / number
        squares = squares + away * (answer - mean)
    return Moments(mean, squares, jnp.full(mean.shape, len(answers), jnp.float32))


def _together(before: Moments, new: Moments) -> Moments:
    number = before.number + new.number
    away = new.mean - before.mean
    mean = before.mean + away * (new.number / number)
    squares = new.squares + away * away * (before.number * new.number / number)
    return Moments(mean, before.squares + squares, number)


@jax.jit
def _deviation(moments: Moments) -> Array:
    return jnp.sqrt(moments.squares / jnp.maximum(moments.number, 1))


def canonical(starts: Sequence[Triple]) -> list[int]:
    """Indices of the crops by ascending start: d, then h, then w; stable."""
    return sorted(range(len(starts)), key=lambda index: tuple(starts[index]))


def bounds(starts: Sequence[Triple], shape: tuple[int, ...]) -> tuple[Triple, Triple]:
    """First voxel and extent of the smallest box that holds crops of a shape."""
    corners = np.asarray(starts)
    low = corners.min(axis=0)
    box = box_between(low, corners.max(axis=0) + shape)
    return start_of(box), shape_of(box)
