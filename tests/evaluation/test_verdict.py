from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from vfseg.evaluation.verdict import (
    LIKELY,
    NO_SIGN,
    REVIEW,
    Evidence,
    evidence_of_ct,
    fit_verdict,
    judge,
    operating_points,
    probability_of,
)
from vfseg.inference.thresholds import VerdictRule

RULE = VerdictRule(
    both=(-2.0, 1.0, 0.5), map=(-1.0, 1.0), heights=(-2.0, 1.0), review=0.2, likely=0.6
)


def test_each_kind_of_evidence_has_its_own_formula():
    assert probability_of(RULE, Evidence(0.5, 2.0)) == pytest.approx(expit(-2 + 0 + 1))
    assert probability_of(RULE, Evidence(0.9, None)) == pytest.approx(expit(-1 + np.log(9)))
    assert probability_of(RULE, Evidence(None, 3.0)) == pytest.approx(expit(-2 + 3))
    assert probability_of(RULE, Evidence(None, None)) is None
    assert judge(RULE, Evidence(None, None)) is None


def test_a_score_counts_against_the_background_of_its_ct():
    rule = replace(RULE, usual=-3.0)
    others = (-4.0, -2.0, 0.0, 2.0, 9.0)  # the second of five is their lower quartile
    background = (5 * -2.0 - 3.0) / 6
    evidence = Evidence(expit(1.0), 2.0, tuple(map(expit, others)))
    assert probability_of(rule, evidence) == pytest.approx(expit(-2 + (1 - background) + 1))
    alone = probability_of(rule, evidence._replace(heights=None))
    assert alone == pytest.approx(expit(-1 + 1 - background))
    assert probability_of(rule, Evidence(expit(1.0), None)) == pytest.approx(expit(-1 + 1 + 3))
    assert probability_of(RULE, evidence) == probability_of(RULE, evidence._replace(others=()))


def test_the_others_are_those_of_the_ct_that_were_predicted():
    found = evidence_of_ct([0.1, None, 0.3], [None, 2.0, 1.0])
    assert found == [
        Evidence(0.1, None, (0.3,)),
        Evidence(None, 2.0, (0.1, 0.3)),
        Evidence(0.3, 1.0, (0.1,)),
    ]


def moved_cts(shifts, seed):
    """CTs of nine vertebrae, two fractured, whose logits all move with the CT."""
    rng = np.random.default_rng(seed)
    units = []
    for shift in shifts:
        truth = np.arange(9) < 2
        logits = rng.normal(-2, 0.5, 9) + 3 * truth + shift
        units += zip(evidence_of_ct(expit(logits).tolist(), [None] * 9), truth.tolist())
    return units


def test_a_scanner_that_moves_all_scores_moves_no_verdict():
    """The rule is fitted on CTs around 0 and judges CTs that say more, or less, of everything."""
    rule = fit_verdict(moved_cts(np.zeros(40), seed=0))
    assert rule.usual == pytest.approx(-2 + 0.5 * norm.ppf(0.25), abs=0.1)
    absolute = replace(rule, usual=None, map=(rule.map[0] - rule.map[1] * rule.usual, rule.map[1]))
    for shift in (-3.0, 3.0):
        units = moved_cts([shift] * 40, seed=1)
        assert worse_class(rule, units) > 0.8  # a ninth of the shift stays, by the usual background
        assert worse_class(absolute, units) < 0.5


def worse_class(rule, units):
    """The lower of sensitivity and specificity."""
    found = np.array([judge(rule, evidence).answer != NO_SIGN for evidence, _ in units])
    truth = np.array([fractured for _, fractured in units])
    return min(found[truth].mean(), 1 - found[~truth].mean())


def test_evidence_beyond_all_reason_counts_as_much_as_the_limit():
    assert probability_of(RULE, Evidence(0.0, None)) == pytest.approx(expit(-1 - 9))
    assert probability_of(RULE, Evidence(1.0, None)) == pytest.approx(expit(-1 + 9))
    assert probability_of(RULE, Evidence(None, 99.0)) == pytest.approx(expit(-2 + 8))


@pytest.mark.parametrize(
    ("evidence", "answer", "why"),
    [
        (Evidence(expit(1.0), 2.0), REVIEW, "map and heights"),  # both 0.5, map 0.5, heights 0.5
        (Evidence(expit(3.0), -2.0), REVIEW, "map"),  # 0.5; 0.88; 0.02
        (Evidence(expit(-2.0), 8.0), REVIEW, "heights"),  # 0.5; 0.05; 0.998
        (Evidence(expit(4.0), 4.0), LIKELY, "map and heights"),  # 0.98
        (Evidence(expit(-2.0), 0.0), NO_SIGN, ""),  # 0.02
        (Evidence(expit(3.0), None), LIKELY, "map"),  # 0.88
    ],
)
def test_what_is_said_and_why(evidence, answer, why):
    verdict = judge(RULE, evidence)
    assert (verdict.answer, verdict.why) == (answer, why)


def drawn(number, seed):
    """Vertebrae whose log odds are 2 x map + 1 x heights - 3, with map and heights N(0, 1)."""
    rng = np.random.default_rng(seed)
    of_map, heights = rng.normal(size=(2, number))
    truth = rng.random(number) < expit(2 * of_map + heights - 3)
    return [
        (Evidence(float(expit(m)), float(h)), bool(y)) for m, h, y in zip(of_map, heights, truth)
    ]


def test_the_weights_of_the_truth_are_found_again():
    rule = fit_verdict(drawn(20_000, seed=0))
    # The quartile of the healthy, who are those below it, is their background here.
    np.testing.assert_allclose(rule.both, (-3 + 2 * rule.usual, 2, 1), atol=0.15)


def test_probabilities_are_frequencies():
    rule = fit_verdict(drawn(20_000, seed=0))
    new = drawn(20_000, seed=1)
    p = np.array([probability_of(rule, evidence) for evidence, _ in new])
    truth = np.array([y for _, y in new])
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1)):
        inside = (p >= low) & (p < high)
        assert p[inside].mean() == pytest.approx(truth[inside].mean(), abs=0.03)


def test_both_kinds_together_rank_better_than_each():
    units = drawn(4000, seed=2)
    rule, new = fit_verdict(units), drawn(4000, seed=3)
    truth = [y for _, y in new]

    def auc(change):
        return roc_auc_score(truth, [probability_of(rule, change(e)) for e, _ in new])

    both = auc(lambda e: e)
    assert both > auc(lambda e: e._replace(heights=None)) + 0.01
    assert both > auc(lambda e: e._replace(map=None)) + 0.05


def test_evidence_that_points_the_wrong_way_counts_nothing():
    units = [(Evidence(0.9, -2.0), True), (Evidence(0.8, -1.5), True)]
    units += [(Evidence(0.1, 2.0), False), (Evidence(0.2, 1.0), False)]
    rule = fit_verdict(units)
    assert rule.both[2] == 0 == rule.heights[1]
    assert rule.both[:2] == pytest.approx(rule.map)
    assert rule.heights[0] == 0  # as many broken as healthy
    assert rule.map[1] > 0


def test_vertebrae_that_are_parted_without_an_error_have_finite_weights():
    rule = fit_verdict([(Evidence(0.9, 5.0), True), (Evidence(0.1, 0.0), False)] * 10)
    assert np.isfinite(rule.both).all()
    assert judge(rule, Evidence(0.9, 5.0)).answer == LIKELY
    assert judge(rule, Evidence(0.1, 0.0)).answer == NO_SIGN


@pytest.mark.parametrize(
    "units",
    [
        [],
        [(Evidence(0.3, 1.0), True)],
        [(Evidence(0.3, 1.0), False)],
    ],
)
def test_without_both_classes_there_is_no_rule(units):
    assert fit_verdict(units) is None


def test_a_model_is_made_of_those_who_have_its_evidence():
    units = [(Evidence(0.3, None), True), (Evidence(0.2, 1.0), False)]
    rule = fit_verdict(units)
    assert (rule.both, rule.heights) == (None, None)
    assert judge(rule, Evidence(0.3, 5.0)).probability == probability_of(rule, Evidence(0.3, None))
    assert judge(rule, Evidence(None, 5.0)) is None
    assert judge(rule, Evidence(0.3, None)).answer == LIKELY
    assert judge(rule, Evidence(0.2, None)).answer == NO_SIGN


def test_the_heights_of_boxes_are_not_waited_for():
    """Nothing is measured, and what the map says alone parts the classes."""
    units = [(Evidence(score, None), score > 0.5) for score in np.linspace(0.05, 0.95, 19)]
    rule = fit_verdict(units)
    assert rule.map[1] > 0
    assert [judge(rule, e).answer != NO_SIGN for e, _ in units] == [truth for _, truth in units]


def slow_points(units):
    """Every value half-way between two that occur is tried."""
    present = sorted({p for p, _ in units})
    middles = [(a + b) / 2 for a, b in zip([0, *present], [*present, 1])]
    fractured = [p for p, y in units if y]
    healthy = [p for p, y in units if not y]
    sensitive = max(
        t for t in middles if sum(p >= t for p in fractured) >= 0.95 * len(fractured) - 1e-9
    )
    specific = min(t for t in middles if sum(p < t for p in healthy) >= 0.95 * len(healthy) - 1e-9)
    return min(sensitive, specific), max(sensitive, specific)


@pytest.mark.parametrize("seed", range(40))
def test_points_equal_those_of_a_search(seed):
    rng = np.random.default_rng(seed)
    number = int(rng.integers(2, 60))
    truth = rng.random(number) < 0.4
    truth[:2] = True, False
    p = np.round(expit(rng.normal(size=number) + rng.uniform(0, 6) * truth - 2), 3)
    units = list(zip(p.tolist(), truth.tolist()))
    assert operating_points(units) == pytest.approx(slow_points(units))


def test_logits_are_undone_exactly_enough():
    for score in (0.001, 0.5, 0.999):
        assert probability_of(RULE, Evidence(score, None)) == pytest.approx(expit(logit(score) - 1))
