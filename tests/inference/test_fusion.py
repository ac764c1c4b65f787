"""Fusion rules and overlapping crops against plain NumPy, and the order in which they are added."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference.definitions import definition, exact_scores, place_weight, rough_scores
from vfseg.inference.fusion import FUSIONS, RULES, Fused, centre_weight, fuse_boxes, join

THRESHOLD = 0.5


def state(rule, predictions):
    """State of one prediction of every voxel, as a window of slices gives it."""
    terms = [np.asarray(term) for term in rule.terms(predictions, np.float32(THRESHOLD))]
    return Fused(terms[0], terms[1] if len(terms) > 1 else np.ones((1, 1, 1), np.uint16))


def by_voxel(crops, starts, origin, shape):
    """Voxel of the grid -> its predictions and their weights by place, crop by crop."""
    values = {voxel: ([], []) for voxel in np.ndindex(*shape)}
    for crop, start in zip(crops, starts):
        for voxel in np.ndindex(*crop.shape):
            target = tuple(np.add(start, voxel) - origin)
            values[target][0].append(crop[voxel])
            values[target][1].append(place_weight(voxel, crop.shape))
    return {voxel: (np.array(p, np.float32), c) for voxel, (p, c) in values.items()}


@pytest.mark.parametrize("name", FUSIONS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_crops_anywhere_equal_the_definition(name, data):
    m, box = data.draw(st.sampled_from([(1, (3, 2, 4)), (4, (3, 2, 4)), (3, (4, 4, 1))]))
    places = st.tuples(*[st.integers(-3, 3)] * 3)
    starts = data.draw(st.lists(places, min_size=m, max_size=m, unique=True))
    crops = exact_scores(data.draw(st.integers(0, 99)), (m, *box))
    rule = RULES[name]

    origin, (total, weight) = fuse_boxes([state(rule, crop) for crop in crops], starts, rule)

    assert origin == tuple(np.min(starts, axis=0))
    assert total.shape == tuple(np.max(starts, axis=0) - origin + box)
    for voxel, (p, centre) in by_voxel(crops, starts, origin, total.shape).items():
        assert (weight[voxel] > 0) == bool(len(p))
        value = rule.link(total[voxel] / weight[voxel]) if len(p) else total[voxel]
        assert value == pytest.approx(definition(name, p, centre, THRESHOLD), abs=2e-6)


def test_the_weight_by_place_is_highest_in_the_middle_and_never_0():
    weight = centre_weight((5, 4, 3))
    assert weight.dtype == np.float32
    for voxel in np.ndindex(5, 4, 3):
        assert weight[voxel] == pytest.approx(place_weight(voxel, (5, 4, 3)), rel=1e-6)
    assert weight.max() == weight[2, 1, 1]
    assert weight.min() > 0


@pytest.mark.parametrize("name", FUSIONS)
def test_the_order_of_crops_changes_no_bit(name):
    m, box, rule = 6, (5, 4, 4), RULES[name]
    crops = rough_scores(2, (m, *box))
    starts = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (2, 1, 1)]
    states = [state(rule, crop) for crop in crops]
    _, expected = fuse_boxes(states, starts, rule)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(m)
        _, fused = fuse_boxes([states[i] for i in order], [starts[i] for i in order], rule)
        for got, want in zip(fused, expected):
            np.testing.assert_array_equal(got, want)


def test_the_order_of_crops_would_matter_without_sorting():
    """So that the test above proves something."""
    crops = rough_scores(2, (6, 5, 4, 4))
    one, other = np.zeros((2, 5, 4, 4), np.float32)
    for crop, reverse in zip(crops, crops[::-1]):
        one += crop
        other += reverse
    assert np.any(one != other)


@pytest.mark.parametrize("name", FUSIONS)
def test_states_of_views_join_as_the_definition_says(name):
    views, rule = exact_scores(7, (5, 3, 2, 4)), RULES[name]
    joined = join(rule, [state(rule, view) for view in views])
    total, weight = (np.broadcast_to(part, views.shape[1:]) for part in joined)
    for voxel in np.ndindex(*views.shape[1:]):
        p = views[(slice(None), *voxel)]
        # All views of a voxel share its place, so the weight by place cancels.
        want = definition(name, p, np.ones(len(p)), THRESHOLD)
        assert rule.link(total[voxel] / weight[voxel]) == pytest.approx(want, abs=2e-6)


def test_a_state_holds_two_numbers_and_counts_in_two_bytes():
    ones = np.ones((2, 2, 2), np.float32)
    for name, (total, weight) in {
        "mean": ("float32", "uint16"),
        "centre": ("float32", "float32"),
        "confidence": ("float32", "float32"),
        "vote": ("uint16", "uint16"),
        "maximum": ("float32", "uint16"),
        "product": ("float32", "uint16"),
    }.items():
        _, fused = fuse_boxes([state(RULES[name], ones)], [(0, 0, 0)], RULES[name])
        assert (fused.total.dtype, fused.weight.dtype) == (total, weight)


@pytest.mark.parametrize("name", FUSIONS)
def test_agreement_is_kept(name):
    """Where all predictions are equal the fused value is that; a vote says on which side."""
    rule = RULES[name]
    for value in (0.0, 0.25, 0.75, 1.0):
        crops = [state(rule, np.full((2, 2, 2), value, np.float32))] * 3
        _, (total, weight) = fuse_boxes(crops, [(0, 0, 0), (0, 0, 1), (1, 0, 0)], rule)
        inside = weight > 0
        got = rule.link(total[inside] / weight[inside])
        np.testing.assert_allclose(got, value >= 0.5 if name == "vote" else value, atol=2e-6)
