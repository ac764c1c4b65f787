"""The verdict on a vertebra: how probable a fracture is, from its map and from its heights.

The logit of the probability is linear in the evidence there is,

    logit p = intercept + w_map * (logit(score) - background) + w_heights * loss / spread

with the score of the map (see `vertebrae`) and the largest loss of height in standard deviations of
what healthy bodies show (see `genant`). Scanner, kernel and dose move the scores of all vertebrae
of a CT together, so they count against the background of their CT,

    background = (n * quartile + usual) / (n + 1),

with the lower quartile of logit(score) of the n other vertebrae, most of which are healthy in most
spines, and the usual one of validation in place of one more vertebra. Where one kind of evidence is
missing, as heights are where only boxes are known, the other one has a model of its own. Each is
fitted on those validation vertebrae that have its evidence, by logistic regression with a ridge, so
that evidence that parts them without an error has finite weights. No evidence speaks against its
own direction: what would get a weight below 0, as chance can make it of few vertebrae, is left out.

A probability is that of a cohort with the fractures of the validation cases; where those are
synthetic, so is it.

References:
    Platt (1999), "Probabilistic outputs for support vector machines", Advances in Large Margin
    Classifiers.
    le Cessie, van Houwelingen (1992), "Ridge estimators in logistic regression", Applied Statistics
    41.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vfseg.inference.thresholds import VerdictRule

LIKELY, REVIEW, NO_SIGN = "fracture likely", "review", "no sign"
SENSITIVITY, SPECIFICITY = 0.95, 0.95
"""Of the operating points, on validation."""

EVIDENCE_OF = {"both": ("map", "heights"), "map": ("map",), "heights": ("heights",)}
"""What each model is made from; the first for which there is all of it judges a vertebra."""

_FARTHEST_LOGIT = 9.0  # a score of 1/8000: what is below is nothing
_QUARTILE = 0.25
_FARTHEST_LOSS = 8.0  # standard deviations; 0.4 with a spread of 0.05


class Evidence(NamedTuple):
    """What speaks for a fracture of a vertebra.

    Attributes:
        map: score of the map, 0..1; None where it was not predicted.
        heights: largest loss of height in standard deviations; None where it is not measured.
        others: scores of the map of the other vertebrae of the CT, as far as they were predicted.
    """

    map: float | None
    heights: float | None
    others: tuple[float, ...] = ()


class Verdict(NamedTuple):
    """What is said of a vertebra.

    Attributes:
        answer: `LIKELY`, `REVIEW` or `NO_SIGN`.
        probability: of a fracture, 0..1.
        why: the evidence that would by itself ask for a review: "map", "heights", "map and
            heights", or "" where neither would.
    """

    answer: str
    probability: float
    why: str


def evidence_of_ct(
    scores: Sequence[float | None], losses: Sequence[float | None]
) -> list[Evidence]:
    """Evidence of every vertebra of a CT.

    Args:
        scores: of the map, of each vertebra.
        losses: of height, of each vertebra, as `Evidence.heights`.
    """
    found = []
    for number, (score, loss) in enumerate(zip(scores, losses, strict=True)):
        others = (*scores[:number], *scores[number + 1 :])
        found.append(Evidence(score, loss, tuple(s for s in others if s is not None)))
    return found


def judge(rule: VerdictRule, evidence: Evidence) -> Verdict | None:
    """The verdict on a vertebra; None where there is no evidence."""
    probability = probability_of(rule, evidence)
    if probability is None:
        return None
    answer = NO_SIGN
    if probability >= rule.review:
        answer = LIKELY if probability >= rule.likely else REVIEW
    alone = {
        "map": probability_of(rule, evidence._replace(heights=None)),
        "heights": probability_of(rule, evidence._replace(map=None)),
    }
    why = [name for name, p in alone.items() if p is not None and p >= rule.review]
    return Verdict(answer, probability, " and ".join(why))


def probability_of(rule: VerdictRule, evidence: Evidence) -> float | None:
    """Probability of a fracture, 0..1; None where there is no evidence."""
    known = _numbers(evidence, rule.usual)
    for kind, weights in rule.models.items():
        if weights is not None and all(name in known for name in EVIDENCE_OF[kind]):
            values = [known[name] for name in EVIDENCE_OF[kind]]
            return float(1 / (1 + np.exp(-weights[0] - np.dot(weights[1:], values))))
    return None


def fit_verdict(units: Sequence[tuple[Evidence, bool]]) -> VerdictRule | None:
    """The rule for vertebrae whose truth is known.

    Args:
        units: evidence and truth of validation vertebrae.

    Returns:
        The rule; None where validation lacks fractured or healthy vertebrae.
    """
    usual = _usual(units)
    known = [(_numbers(evidence, usual), fractured) for evidence, fractured in units]
    models = {}
    for kind, names in EVIDENCE_OF.items():
        of_kind = [(x, fractured) for x, fractured in known if all(name in x for name in names)]
        values = np.array([[x[name] for name in names] for x, _ in of_kind])
        models[kind] = _fit(values, np.array([fractured for _, fractured in of_kind], bool))
    if not any(models.values()):
        return None
    rule = VerdictRule(**models, usual=usual, review=0.0, likely=1.0)
    judged = [(probability_of(rule, evidence), fractured) for evidence, fractured in units]
    review, likely = operating_points([(p, truth) for p, truth in judged if p is not None])
    return replace(rule, review=review, likely=likely)


def operating_points(units: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Probabilities from which a vertebra is looked at, and from which a fracture is likely.

    One point is the highest with a sensitivity of 0.95, the other the lowest with a specificity of
    0.95, each half-way to the next probability that occurs. Usually the first is the lower one.
    Where the evidence parts the vertebrae well it is the higher one; then both points have both,
    and a fracture is likely from the higher one on.

    Args:
        units: (probability, truth) of validation, both classes.
    """
    present = np.unique([p for p, _ in units])
    fractured = np.sort([p for p, truth in units if truth])
    healthy = np.sort([p for p, truth in units if not truth])
    lowest_found = fractured[int((1 - SENSITIVITY) * len(fractured) + 1e-9)]
    highest_passed = healthy[len(healthy) - 1 - int((1 - SPECIFICITY) * len(healthy) + 1e-9)]
    below = present[present < lowest_found]
    above = present[present > highest_passed]
    sensitive = (lowest_found + (below[-1] if below.size else 0.0)) / 2
    specific = (highest_passed + (above[0] if above.size else 1.0)) / 2
    return float(min(sensitive, specific)), float(max(sensitive, specific))


def _numbers(evidence: Evidence, usual: float | None) -> dict[str, float]:
    """What there is, as the numbers that the models take; the map first."""
    known = {}
    if evidence.map is not None:
        known["map"] = float(_logit(evidence.map) - _background(evidence.others, usual))
    if evidence.heights is not None:
        known["heights"] = float(np.clip(evidence.heights, -_FARTHEST_LOSS, _FARTHEST_LOSS))
    return known


def _usual(units: Sequence[tuple[Evidence, bool]]) -> float | None:
    """The lower quartile of the logits of healthy vertebrae; None where no score is known."""
    healthy = [e.map for e, fractured in units if e.map is not None and not fractured]
    return float(np.quantile(_logit(healthy), _QUARTILE)) if healthy else None


def _background(others: Sequence[float], usual: float | None) -> float:
    """What is taken from the logit of a score; nothing under a rule of scores as they are."""
    if usual is None:
        return 0.0
    quartile = np.quantile(_logit(others), _QUARTILE) if others else 0.0
    return float((len(others) * quartile + usual) / (len(others) + 1))


def _logit(scores: ArrayLike) -> np.ndarray:
    scores = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.clip(np.log(scores / (1 - scores)), -_FARTHEST_LOGIT, _FARTHEST_LOGIT)


def _fit(values: np.ndarray, truth: np.ndarray) -> tuple[float, ...] | None:
    """Intercept and weights of a logistic regression on [n, k] values, none of them below 0.

    None where there is but one class.
    """
    if truth.all() or not truth.any():
        return None
    from sklearn.linear_model import LogisticRegression  # 0.6 s, and only an evaluation fits

    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    weights, kept = np.zeros(values.shape[1]), np.arange(values.shape[1])
    while kept.size:
        fitted = LogisticRegression(C=1.0).fit(((values - mean) / spread)[:, kept], truth)
        if (fitted.coef_ > 0).all():
            weights[kept] = fitted.coef_[0] / spread[kept]
            return float(fitted.intercept_[0] - weights @ mean), *weights.tolist()
        kept = kept[fitted.coef_[0] > 0]
    return float(np.log(truth.mean() / (1 - truth.mean()))), *weights.tolist()
