import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from vfseg.data.box import box_between
from vfseg.evaluation.lesions import (
    CaseLesions,
    Detections,
    Lesion,
    components,
    false_positives_per_case,
    froc,
    froc_corners,
    lesion_average_precision,
    lesion_sensitivity,
    lesion_states,
    match_lesions,
    sensitivity_at,
)
from vfseg.evaluation.statistics import resampled_values
from vfseg.evaluation.truth import KnownFractures


def case_of(found, false):
    """Lesions by the score at which they are found (None: missed), and false positives."""
    lesions = tuple(Lesion(i, 1.0, 0.5, (score, score)) for i, score in enumerate(found, 1))
    return CaseLesions(lesions, (tuple(false), tuple(false)))


scores = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])
cases_strategy = st.lists(
    st.builds(case_of, st.lists(st.none() | scores, max_size=4), st.lists(scores, max_size=4)),
    min_size=1,
    max_size=6,
)


def slow_curve(cases):
    """(FP a case, sensitivity, precision, newly found) at every score, one after the other."""
    found = [x.found[0] for case in cases for x in case.lesions]
    false = [score for case in cases for score in case.false_positives[0]]
    points, before = [], 0
    for cut in sorted({s for s in [*found, *false] if s is not None}, reverse=True):
        met = sum(score is not None and score >= cut for score in found)
        wrong = sum(score >= cut for score in false)
        points.append(
            (wrong / len(cases), met / max(len(found), 1), met / (met + wrong), met - before)
        )
        before = met
    return points, len(found)


def test_components_touch_by_corners_and_fill_ten_cubic_millimetres():
    mask = np.zeros((6, 6, 6), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True  # one component of two voxels
    mask[3, 3, 3] = True
    mask[5, 5, 3:6] = True
    np.testing.assert_array_equal(components(mask, 10.0) > 0, mask)
    assert components(mask, 10.0).max() == 3
    kept = components(mask, 5.0)  # 10, 5 and 15 mm3
    assert kept[0, 0, 0] == kept[1, 1, 1] == 1
    assert kept[3, 3, 3] == 0
    assert set(kept[5, 5, 3:]) == {2}
    assert components(mask, 4.9).max() == 1  # 9.8 mm3 is too small
    assert components(np.zeros((2, 2, 2), bool), 10.0).max() == 0


@pytest.mark.parametrize("seed", range(5))
def test_matching_equals_sets_of_voxels(seed):
    rng = np.random.default_rng(seed)
    shape = (8, 8, 8)
    truth = np.zeros(shape, np.uint8)
    for instance in (1, 2, 4):  # ids may have gaps
        d, h, w = rng.integers(0, 6, 3)
        truth[d : d + 3, h : h + 3, w : w + 3] = instance
    mask = (truth > 0) & (rng.random(shape) < 0.4) | (rng.random(shape) < 0.05)
    found = components(mask, 5.0)
    probability = rng.random(shape).astype(np.float32)
    region = np.ones(shape, bool)
    region[0] = False
    in_ct = np.zeros((8, 8, 20), np.uint8)
    box = box_between((0, 0, 5), (8, 8, 13))
    in_ct[box] = truth
    in_ct[:5, :6, 19] = 4  # a part of it lies outside the box
    volumes = np.bincount(in_ct.ravel(), minlength=5)
    result = match_lesions(
        Detections(box, probability, mask, found),
        KnownFractures(in_ct, {}, {2: "burst"}),
        {1: "L1"},
        region,
        5.0,
    )
    sets = {c: set(map(tuple, np.argwhere(found == c))) for c in range(1, found.max() + 1)}
    highest = {c: max(probability[v] for v in voxels) for c, voxels in sets.items()}
    hit: dict[float, set] = {0.1: set(), 0.2: set()}
    for lesion in result.lesions:
        own = set(map(tuple, np.argwhere(truth == lesion.instance)))
        assert any(region[voxel] for voxel in own)
        assert lesion.volume_ml == pytest.approx(volumes[lesion.instance] * 0.005)
        recalled = sum(bool(mask[voxel]) for voxel in own) / volumes[lesion.instance]
        assert lesion.recalled == pytest.approx(recalled)
        assert lesion.level == ("L1" if lesion.instance == 1 else "")
        assert lesion.pattern == ("burst" if lesion.instance == 2 else "")
        for limit, at in zip((0.1, 0.2), lesion.found):
            hits = set()
            for number, voxels in sets.items():
                both = len(voxels & own)
                union = len(voxels) + volumes[lesion.instance] - both
                if both / union >= limit:
                    hits.add(number)
            hit[limit] |= hits
            expected = max((highest[number] for number in hits), default=None)
            assert at == (None if expected is None else pytest.approx(expected))
    for limit, wrong in zip((0.1, 0.2), result.false_positives):
        assert sorted(wrong) == pytest.approx(
            sorted(float(highest[number]) for number in sets if number not in hit[limit])
        )
    assert [number for number, ok in enumerate(result.hits, 1) if ok] == sorted(hit[0.1])
    present = {i for i in np.unique(truth) if i}
    shown = {i for i in present if region[truth == i].any()}
    assert {x.instance for x in result.lesions} == shown
    assert result.not_shown == len(present - shown) + (4 not in present)


def test_figures_by_hand():
    # Two cases: 0.9 finds one of three lesions, 0.8 is wrong, 0.6 finds another, 0.5 is wrong.
    cases = [case_of([0.9, None], [0.5]), case_of([0.6], [0.8])]
    states = lesion_states(cases, 0).sum(axis=0)
    assert lesion_average_precision(states) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert froc_corners(states) == [
        pytest.approx(p) for p in ([0, 0], [0, 1 / 3], [0.5, 1 / 3], [0.5, 2 / 3], [1, 2 / 3])
    ]
    assert sensitivity_at(states, 0.49) == pytest.approx(1 / 3)
    assert sensitivity_at(states, 0.5) == pytest.approx(2 / 3)
    assert lesion_sensitivity(states) == pytest.approx(2 / 3)
    assert false_positives_per_case(states) == 1.0


def test_healthy_cases_count_as_cases_and_without_lesions_nothing_is_sensitive():
    states = lesion_states([case_of([], [0.4]), case_of([], [])], 0).sum(axis=0)
    assert false_positives_per_case(states) == 0.5
    for metric in (lesion_average_precision, lesion_sensitivity, sensitivity_at):
        assert np.isnan(metric(states))
    assert froc_corners(states) == []
    silent = lesion_states([case_of([None], [])], 0).sum(axis=0)
    assert lesion_average_precision(silent) == lesion_sensitivity(silent) == 0
    assert false_positives_per_case(silent) == 0


@settings(max_examples=50, deadline=None)
@given(cases_strategy)
def test_curve_and_average_precision_equal_the_loop_over_scores(cases):
    points, lesions = slow_curve(cases)
    states = lesion_states(cases, 0).sum(axis=0)
    wrong, sensitivity = froc(states)
    np.testing.assert_allclose(wrong, [0, *(p[0] for p in points)])
    if lesions:
        np.testing.assert_allclose(sensitivity, [0, *(p[1] for p in points)])
        expected = sum(p[2] * p[3] for p in points) / lesions
        assert lesion_average_precision(states) == pytest.approx(expected)
        best = max([p[1] for p in points if p[0] <= 1], default=0)
        assert sensitivity_at(states) == pytest.approx(best)
        # The corners say the same of any number of false positives.
        corners = froc_corners(states)
        assert corners[-1] == pytest.approx([wrong[-1], sensitivity[-1]])
        for allowed in wrong:
            assert max(s for w, s in corners if w <= allowed) == sensitivity_at(states, allowed)


def test_resampled_states_are_the_drawn_patients_together():
    rng = np.random.default_rng(0)
    cases = [
        case_of(
            [None if rng.random() < 0.3 else float(rng.random()) for _ in range(3)],
            rng.random(rng.integers(0, 4)).tolist(),
        )
        for _ in range(6)
    ]
    states = lesion_states(cases, 0)
    draws = np.random.default_rng(7).integers(6, size=(20, 6))
    for metric in (lesion_average_precision, sensitivity_at, false_positives_per_case):
        fast = resampled_values(metric, states, seed=7, resamples=20)
        slow = [metric(lesion_states([cases[i] for i in row], 0).sum(axis=0)) for row in draws]
        np.testing.assert_allclose(fast, slow)
