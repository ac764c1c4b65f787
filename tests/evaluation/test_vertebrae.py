from fractions import Fraction
from itertools import pairwise
from math import ceil

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.evaluation.scene import SPINE, sheet
from vfseg.data.probability import reaches
from vfseg.evaluation.heights import Unmeasured
from vfseg.evaluation.map_evidence import map_evidence
from vfseg.evaluation.metrics import average_precision, recall
from vfseg.evaluation.regions import vertebra_regions
from vfseg.evaluation.verdict import Evidence
from vfseg.evaluation.vertebrae import (
    as_cases,
    best_youden,
    confusion_states,
    ranked_states,
    roc_auc,
    score_vertebra,
    specificity,
    with_evidence,
)

units = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.200001, 0.5, 1.0]), st.booleans()), max_size=8
)


def scored(truth, probability, mask=None):
    return [
        score_vertebra(
            region,
            map_evidence(
                probability[region.box], region, SPINE.labels.geometry, Unmeasured("", "not asked")
            ),
            1.5,
            truth[region.box],
            None if mask is None else mask[region.box],
            {"L1": 2}.get(region.vertebra.level),
        )
        for region in vertebra_regions(SPINE, SPINE.labels.geometry)
    ]


def test_score_truth_and_overlap_of_a_vertebra():
    truth = sheet(28)
    probability = np.random.default_rng(0).random(truth.shape).astype(np.float32)
    mask = np.roll(truth > 0, 1, axis=0)
    upper, lower = scored(truth, probability, mask)
    # Grown by 2 mm the box of 16 voxels of 2 mm has one more voxel on each face, none at edges.
    inside = np.zeros(truth.shape, bool)
    inside[22:38, 4:20, 4:20] = True
    for axis in range(3):
        inside |= np.roll(inside_box(), 1, axis) | np.roll(inside_box(), -1, axis)
    highest = np.sort(probability[inside])[-62:]  # 0.5 mL in voxels of 8 mm3
    assert upper.score == pytest.approx(highest.mean())
    assert with_evidence([upper, lower]) == [
        (Evidence(upper.score, 1.5, (lower.score,)), True),
        (Evidence(lower.score, lower.heights, (upper.score,)), False),
    ]
    assert (upper.fractured, lower.fractured) == (True, False)
    assert upper.overlap[:3] == (100, 100, 100)
    assert sum(upper.overlap) == inside.sum()
    assert upper.truth_ml == upper.predicted_ml == pytest.approx(200 * 0.008)
    assert lower.overlap[:3] == (0, 0, 0)
    assert (upper.grade, lower.grade) == (2, None)
    assert scored(truth, probability)[0].overlap == (0, 0, 0, 0)


def inside_box():
    box = np.zeros((40, 24, 24), bool)
    box[22:38, 4:20, 4:20] = True
    return box


def test_twenty_cubic_millimetres_make_a_fracture():
    truth = np.zeros((40, 24, 24), np.uint8)
    truth[30, 10, 10:12] = 1  # 16 mm3
    probability = np.zeros(truth.shape, np.float32)
    assert not scored(truth, probability)[0].fractured
    truth[30, 12, 12] = 2  # 24 mm3 of two instances
    assert scored(truth, probability)[0].fractured


@settings(max_examples=50, deadline=None)
@given(st.lists(units, min_size=1, max_size=4))
def test_ranks_equal_scikit_learn(cases):
    states = ranked_states(cases)
    total = states.sum(axis=0)
    flat = [unit for case in cases for unit in case]
    scores = np.rint(np.array([s for s, _ in flat]) * 65535)
    truth = np.array([t for _, t in flat], bool)
    assert total.sum() == len(flat)
    if truth.any() and not truth.all():
        assert roc_auc(total) == pytest.approx(roc_auc_score(truth, scores))
        assert average_precision(total) == pytest.approx(average_precision_score(truth, scores))
    else:
        assert np.isnan(roc_auc(total))


@settings(max_examples=50, deadline=None)
@given(st.lists(units, min_size=1, max_size=4))
def test_confusion_equals_the_loop_over_units(cases):
    states = confusion_states(cases, [0.2] * len(cases))
    for state, case in zip(states, cases):
        expected = [0, 0, 0, 0]
        for score, positive in case:
            above = round(score * 65535) >= round(0.2 * 65535)
            expected[{(1, 1): 0, (1, 0): 1, (0, 1): 2, (0, 0): 3}[above, positive]] += 1
        assert state.tolist() == expected


def test_sensitivity_and_specificity_by_hand():
    counts = np.array([3, 2, 1, 6])
    assert recall(counts) == 3 / 4
    assert specificity(counts) == 6 / 8
    assert np.isnan(specificity(np.array([3, 0, 1, 0])))


def test_a_case_is_its_highest_vertebra():
    case = scored(sheet(28), np.full((40, 24, 24), 0.25, np.float32))
    assert as_cases([case, case[1:], []]) == [[(0.25, True)], [(0.25, False)], []]


@settings(max_examples=50, deadline=None)
@given(units)
def test_youden_equals_the_search_over_candidates(sample):
    truth = [t for _, t in sample]
    present = sorted({round(s * 65535) for s, _ in sample})
    found = best_youden(sample)
    if not any(truth) or all(truth) or len(present) < 2:
        assert found is None
        return

    def index(cut):
        above = [round(s * 65535) >= cut for s, _ in sample]
        sensitivity = Fraction(sum(a and t for a, t in zip(above, truth)), sum(truth))
        spared = sum(not a and not t for a, t in zip(above, truth))
        return sensitivity + Fraction(spared, len(truth) - sum(truth)) - 1

    candidates = [ceil((a + b) / 2) for a, b in pairwise(present)]
    assert round(found * 65535) == max(candidates, key=index)  # the first of equals


def test_a_gap_between_the_classes_is_cut_in_the_middle():
    assert best_youden([(0.1, False), (0.2, False), (0.6, True), (0.9, True)]) == pytest.approx(
        0.4, abs=1e-5
    )
    # The smallest steps that are stored: the threshold parts them by the rule that cuts masks.
    low, high = 0.0, 1 / 65535
    cut = best_youden([(low, False), (high, True)])
    assert (reaches(np.array(high), cut), reaches(np.array(low), cut)) == (True, False)
