"""The fusion laboratory: rules that make one map of all predictions of a voxel.

A voxel is predicted several times: by the windows of each plane, by flipped and shifted views, and
in the crops of neighbouring vertebrae. A rule says what each prediction p contributes, two numbers
that are joined over all of them, and how the two make the fused value::

    mean        sum p / N
    centre      sum c p / sum c     c = cos^2(pi u_d / 2) cos^2(pi u_h / 2) cos^2(pi u_w / 2), plus
                                    2^-10, where u is the way of the voxel from the centre of its
                                    crop, in halves of the crop: -1..1 along each axis. Along the
                                    axis of a plane this is how central the slice is.
    confidence  sum w p / sum w     w = |2 p - 1|, at least 2^-10
    vote        sum [p >= t] / N    t is the slice threshold: the fraction of the votes; p and t
                                    are compared by their codes (see `reaches`)
    maximum     max p
    product     sigmoid(sum log(p / (1 - p)) / N)
                                    the mean of the log-odds: the geometric mean of all p, divided
                                    by itself plus the geometric mean of all 1 - p; p is kept
                                    within 1e-6 .. 1 - 1e-6

A state holds just these two numbers a voxel, and the second one as a count where it counts. A
voxel that nobody predicted has weight 0 and the fused value 0.

Sums of floats depend on their order, so states are joined in a canonical one: planes in the order
of the axes, views as `Views` lists them, windows and crops by ascending start. The order in which
anything is handed in does not change a bit of the result.

References:
    Kittler, Hatef, Duin and Matas (1998), "On combining classifiers", IEEE TPAMI (sum, product,
    maximum and vote).
    Genest and Zidek (1986), "Combining probability distributions", Statistical Science (the
    logarithmic pool).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vfseg.data.box import box_between, shape_of, start_of
from vfseg.data.probability import BINS

#: Counts: exact up to 65,535 predictions of a voxel, in half the memory of int32.
COUNT_DTYPE = np.uint16
_LEAST_WEIGHT = 2.0**-10
_MOST_LOG_ODDS = float(np.log((1 - 1e-6) / 1e-6))


class Join(NamedTuple):
    """How contributions come together.

    Attributes:
        name: "add" or "max", as `jax.numpy`'s indexed updates call it.
        traced: of two arrays in a compiled function.
        host: of two NumPy arrays, with `out`.
    """

    name: str
    traced: Callable[[Any, Any], Any]
    host: np.ufunc


ADD = Join("add", jnp.add, np.add)
MAX = Join("max", jnp.maximum, np.maximum)


class FusionRule(NamedTuple):
    """One way to fuse.

    Attributes:
        terms: scores and slice threshold -> what each prediction contributes: the total, and the
            weight unless every prediction counts 1. Float32 or a count; 0 is neutral in the join.
        join: of the contributions.
        link: total / weight -> fused value in 0..1, on the host.
        centred: total and weight are multiplied by the voxel's place in its crop.
    """

    terms: Callable[[Any, Any], tuple[Any, ...]]
    join: Join
    link: Callable[[np.ndarray], np.ndarray]
    centred: bool = False

    def counted(self, predictions: np.ndarray) -> np.ndarray:
        """Weight of so many predictions that count 1 each."""
        return np.minimum(predictions, 1) if self.join is MAX else predictions


class Fused(NamedTuple):
    """State of a fusion, two numbers a voxel.

    Attributes:
        total: joined contributions, float32 or a count.
        weight: joined weights, float32 or a count; may have length 1 along axes where it is
            constant; 0 where nothing was predicted.
    """

    total: Any
    weight: Any


def _score(p: Any, threshold: Any) -> tuple[Any, ...]:
    return (p.astype(jnp.float32),)


def _by_confidence(p: Any, threshold: Any) -> tuple[Any, ...]:
    p = p.astype(jnp.float32)
    weight = jnp.maximum(jnp.abs(2 * p - 1), _LEAST_WEIGHT)
    return weight * p, weight


def _voted(p: Any, threshold: Any) -> tuple[Any, ...]:
    # By their codes, as everywhere: see `vfseg.data.probability.reaches`.
    code, least = (jnp.rint(x * np.float32(BINS - 1)) for x in (p.astype(jnp.float32), threshold))
    return ((code >= least).astype(COUNT_DTYPE),)


def _log_odds(p: Any, threshold: Any) -> tuple[Any, ...]:
    p = p.astype(jnp.float32)
    # Bounded here, since float32 has no 1 - 1e-6; the logarithms of 0 are infinite and bounded too.
    return (jnp.clip(jnp.log(p) - jnp.log1p(-p), -_MOST_LOG_ODDS, _MOST_LOG_ODDS),)


def _same(ratio: np.ndarray) -> np.ndarray:
    return np.clip(ratio, 0, 1)


def _sigmoid(log_odds: np.ndarray) -> np.ndarray:
    # Not SciPy's expit, which gives another last bit for one value in six.
    return 1 / (1 + np.exp(-log_odds))


RULES = {
    "mean": FusionRule(_score, ADD, _same),
    "centre": FusionRule(_score, ADD, _same, centred=True),
    "confidence": FusionRule(_by_confidence, ADD, _same),
    "vote": FusionRule(_voted, ADD, _same),
    "maximum": FusionRule(_score, MAX, _same),
    "product": FusionRule(_log_odds, ADD, _sigmoid),
}
FUSIONS = tuple(RULES)


def join(rule: FusionRule, states: Sequence[Fused]) -> Fused:
    """The predictions of all states together, voxel by voxel, in the order given."""
    first, *others = states
    for other in others:
        first = Fused(*map(rule.join.traced, first, other))
    return first


def centre_weight(shape: tuple[int, int, int]) -> np.ndarray:
    """The weight c of each voxel of a crop, float32 `d h w`; see the head of this file."""
    axes = []
    for size in shape:
        away = (2 * np.arange(size) - (size - 1)) / size  # of the middle of the voxel: within -1..1
        axes.append(np.cos(np.pi * away / 2) ** 2)
    d, h, w = axes
    weight = d[:, None, None] * h[:, None] * w + _LEAST_WEIGHT
    return weight.astype(np.float32)


def fuse_boxes(
    boxes: Sequence[Fused], starts: Sequence[tuple[int, int, int]], rule: FusionRule
) -> tuple[tuple[int, int, int], Fused]:
    """Joins the fused crops of a case on the grid of the case.

    On the host, one crop after the other: nothing here is compiled, so no case asks for a
    compilation of its own, and the grid is touched only where crops are (`benchmarks/fusion.py`
    sets compiled forms beside it).

    Args:
        boxes: one state a crop, `d h w` (weights may broadcast), all of one shape.
        starts: first voxel of each crop in the case grid; may be negative. Crops with equal starts
            are joined in the order given; among all others the order does not matter.
        rule: of the fusion.

    Returns:
        Case-grid index of the first voxel of the smallest box that holds all crops, and the state
        on it.
    """
    shape = boxes[0].total.shape
    origin, extent = bounds(starts, shape)
    centre = centre_weight(shape) if rule.centred else None
    dtypes = [np.float32 if rule.centred else part.dtype for part in boxes[0]]
    total, weight = (np.zeros(extent, dtype) for dtype in dtypes)
    for index in canonical(starts):
        place = tuple(slice(a - o, a - o + n) for a, o, n in zip(starts[index], origin, shape))
        for canvas, part in zip((total, weight), boxes[index]):
            part = np.asarray(part) if centre is None else np.asarray(part) * centre
            rule.join.host(canvas[place], part, out=canvas[place])
    return origin, Fused(total, weight)


def canonical(starts: Sequence[tuple[int, int, int]]) -> list[int]:
    """Indices of the crops by ascending start: d, then h, then w; stable."""
    return sorted(range(len(starts)), key=lambda index: tuple(starts[index]))


def bounds(
    starts: Sequence[tuple[int, int, int]], shape: tuple[int, ...]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """First voxel and size of the smallest box that holds crops of a shape."""
    corners = np.asarray(starts)
    low = corners.min(axis=0)
    box = box_between(low, corners.max(axis=0) + shape)
    return start_of(box), shape_of(box)
