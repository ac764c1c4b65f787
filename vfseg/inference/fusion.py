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

A voxel that nobody predicted has weight 0 and the fused value 0. `kernel` does the joining.

References:
    Kittler, Hatef, Duin and Matas (1998), "On combining classifiers", IEEE TPAMI (sum, product,
    maximum and vote).
    Genest and Zidek (1986), "Combining probability distributions", Statistical Science (the
    logarithmic pool).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, nn

from vfseg.data.probability import BINS

_LEAST_WEIGHT = 2.0**-10
_MOST_LOG_ODDS = float(np.log((1 - 1e-6) / 1e-6))


class FusionRule(NamedTuple):
    """One way to fuse, in functions of arrays that are compiled.

    Attributes:
        terms: scores and slice threshold -> what each prediction contributes, float32: the total,
            and the weight unless every prediction counts 1. 0 is neutral in the join.
        join: of two contributions.
        link: total / weight -> fused value in 0..1.
        centred: total and weight are multiplied by the voxel's place in its crop.
    """

    terms: Callable[[Array, Array | float], tuple[Array, ...]]
    join: Callable[[Any, Any], Array]
    link: Callable[[Array], Array]
    centred: bool = False

    def counted(self, predictions: int) -> float:
        """Weight of so many predictions that count 1 each."""
        return 1.0 if self.join is jnp.maximum else float(predictions)


class Fused(NamedTuple):
    """State of a fusion, two numbers a voxel.

    Attributes:
        total: joined contributions, float32.
        weight: joined weights, float32; 0 where nothing was predicted.
    """

    total: Array
    weight: Array


def _score(p: Array, threshold: Array | float) -> tuple[Array, ...]:
    return (p.astype(jnp.float32),)


def _by_confidence(p: Array, threshold: Array | float) -> tuple[Array, ...]:
    p = p.astype(jnp.float32)
    weight = jnp.maximum(jnp.abs(2 * p - 1), _LEAST_WEIGHT)
    return weight * p, weight


def _voted(p: Array, threshold: Array | float) -> tuple[Array, ...]:
    # By their codes, as everywhere: see `vfseg.data.probability.reaches`.
    code, least = (jnp.rint(jnp.float32(x) * np.float32(BINS - 1)) for x in (p, threshold))
    return ((code >= least).astype(jnp.float32),)


def _log_odds(p: Array, threshold: Array | float) -> tuple[Array, ...]:
    p = p.astype(jnp.float32)
    # Bounded here, since float32 has no 1 - 1e-6; the logarithms of 0 are infinite and bounded too.
    return (jnp.clip(jnp.log(p) - jnp.log1p(-p), -_MOST_LOG_ODDS, _MOST_LOG_ODDS),)


def _same(ratio: Array) -> Array:
    return jnp.clip(ratio, 0, 1)


RULES = {
    "mean": FusionRule(_score, jnp.add, _same),
    "centre": FusionRule(_score, jnp.add, _same, centred=True),
    "confidence": FusionRule(_by_confidence, jnp.add, _same),
    "vote": FusionRule(_voted, jnp.add, _same),
    "maximum": FusionRule(_score, jnp.maximum, _same),
    "product": FusionRule(_log_odds, jnp.add, nn.sigmoid),
}
"""Those of `vfseg.inference.settings.FUSIONS`, by their names."""


def centre_weight(shape: tuple[int, int, int]) -> np.ndarray:
    """The weight c of each voxel of a crop, float32 `d h w`; see the head of this file."""
    axes = []
    for size in shape:
        away = (2 * np.arange(size) - (size - 1)) / size  # of the middle of the voxel: within -1..1
        axes.append(np.cos(np.pi * away / 2) ** 2)
    d, h, w = axes
    weight = d[:, None, None] * h[:, None] * w + _LEAST_WEIGHT
    return weight.astype(np.float32)
