"""From places to a spine: the best chain of levels, and how sure its names are.

All names are decided at once. A chain visits places from the head down, its levels follow one
another, and it gains by the height of the peaks, by what the network says of each level, and by
steps as long as those levels usually have. The best one is found by dynamic programming over pairs
of place and level (Viterbi, 1967). Then the same places are named from every level anew, with the
size of the patient, which all steps share: the likeliest naming is taken, and its probability is
its share of all of them.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from vfseg.localisation.levels import NAMES, STEP_MM, class_of
from vfseg.localisation.peaks import Peaks

ASSUMED = 0.2
"""A peak of this height neither gains nor costs."""

EVIDENCE = 0.3
"""Weight of what the network says of levels: neighbours see the same, so they are not independent
witnesses."""

DOUBT = 0.2
"""Share of the cases in which the network's word on a level is worth nothing."""

PATIENT_SD, STEP_SD = 0.06, 0.14
"""SD of the logarithm of steps against the usual ones: between patients, and within one."""

_STEP_LIMITS = (0.6, 1.55)
_STEEPEST = 0.5  # cosine to the axis of the body
_MISSED = 4.0  # cost of a body in the chain without a peak
_CLASS = np.array([class_of(name) for name in NAMES])
_NECK = int((_CLASS == 0).sum())


@dataclass(frozen=True, eq=False)
class Chain:
    """A spine.

    Attributes:
        members: [n] of the peaks, cranial to caudal.
        levels: [n] index into `NAMES`.
        probability: of these names against all others, 0 to 1.
        shifts: how far all levels could move (caudally positive) -> probability, `0` for these.
    """

    members: np.ndarray
    levels: np.ndarray
    probability: float
    shifts: dict[int, float]

    @property
    def names(self) -> list[str]:
        """Names of its levels."""
        return [NAMES[level] for level in self.levels]


def best_chain(peaks: Peaks) -> Chain | None:
    """The best chain; None where no peak is worth one."""
    count = len(peaks.heights)
    if not count:
        return None
    own = _gain(peaks.heights)[:, None] + EVIDENCE * _named(peaks)
    best = own.copy()
    before = np.full((count, len(NAMES), 2), -1)
    for below in range(count):
        for above in range(below):
            for skipped in (0, 1):
                step = _step(peaks, above, below, skipped)
                total = best[above, : len(step)] + step + own[below, 1 + skipped :]
                better = np.flatnonzero(total > best[below, 1 + skipped :])
                best[below, better + 1 + skipped] = total[better]
                before[below, better + 1 + skipped, 0] = above
                before[below, better + 1 + skipped, 1] = better
    at, level = np.unravel_index(best.argmax(), best.shape)
    if best[at, level] <= 0:
        return None
    members, levels = [], []
    while at >= 0:
        members.append(at)
        levels.append(level)
        at, level = before[at, level]
    return _weighed(peaks, np.array(members[::-1]), np.array(levels[::-1]))


def named_from(chain: Chain, lowest: str) -> Chain:
    """The chain with names counted from its lowest body, which is certain.

    Args:
        chain: as it was found; a sacrum in it is left out.
        lowest: name of its lowest vertebra.

    Raises:
        ValueError: the chain would begin above C3.
    """
    if chain.levels[-1] == len(NAMES) - 1 and len(chain.levels) > 1:
        chain = Chain(chain.members[:-1], chain.levels[:-1], 1.0, {})
    levels = chain.levels + NAMES.index(lowest) - chain.levels[-1]
    if levels[0] < 0:
        raise ValueError(f"{len(levels)} bodies do not fit above {lowest}")
    return Chain(chain.members, levels, 1.0, {0: 1.0})


def _gain(heights: np.ndarray) -> np.ndarray:
    heights = np.clip(heights, 1e-3, 1 - 1e-3)
    return special.logit(heights) - special.logit(ASSUMED)


def _named(peaks: Peaks) -> np.ndarray:
    """What each name costs each peak, [n, levels], 0 for the likeliest."""
    chances = np.exp(peaks.levels[:, _CLASS]) / np.where(_CLASS == 0, _NECK, 1)
    costs = np.log((1 - DOUBT) * chances + DOUBT / len(NAMES))
    return costs - costs.max(1, keepdims=True)


def _step(peaks: Peaks, above: int, below: int, skipped: int) -> np.ndarray:
    """What it costs to go from one place to another, for each level of the upper one."""
    usual = STEP_MM if not skipped else STEP_MM[:-1] + STEP_MM[1:]
    way = peaks.places[above] - peaks.places[below]
    length = float(np.linalg.norm(way))
    if length == 0 or way[0] < _STEEPEST * length:
        return np.full(len(usual), -np.inf)
    ratio = length / usual
    cost = -0.5 * np.square(np.log(ratio)) / (PATIENT_SD**2 + STEP_SD**2) - _MISSED * skipped
    return np.where((ratio > _STEP_LIMITS[0]) & (ratio < _STEP_LIMITS[1]), cost, -np.inf)


def _weighed(peaks: Peaks, members: np.ndarray, levels: np.ndarray) -> Chain:
    """The best way to name the places of a chain, with the probability of each."""
    named = EVIDENCE * _named(peaks)[members]
    ways = {}
    for shift in range(-int(levels[0]), len(NAMES) - int(levels[-1])):
        moved = levels + shift
        said = named[np.arange(len(members)), moved].sum()
        ways[shift] = float(said + fit_of_steps(peaks.places[members], moved))
    best = max(ways, key=lambda shift: ways[shift])
    shares = special.softmax(list(ways.values()))
    likely = {s - best: float(p) for s, p in zip(ways, shares) if p > 0.005}
    return Chain(members, levels + best, likely[0], likely)


def fit_of_steps(places: np.ndarray, levels: np.ndarray) -> float:
    """How well the steps of a chain fit its levels: a log likelihood, 0 where all are as usual.

    Within `best_chain` each step stands alone. All together they are longer or shorter in a larger
    or smaller patient: their logarithms have `PATIENT_SD` in common.

    Args:
        places: [n, 3] mm along d, h, w, cranial to caudal.
        levels: [n] index into `NAMES`, ascending.
    """
    usual = np.diff(np.concatenate([[0.0], np.cumsum(STEP_MM)])[levels])
    off = np.log(np.linalg.norm(np.diff(places, axis=0), axis=1) / usual)
    together = off.sum() ** 2 * PATIENT_SD**2 / (STEP_SD**2 + len(off) * PATIENT_SD**2)
    return float(-0.5 * (np.square(off).sum() - together) / STEP_SD**2)
