"""Fusion rules against plain NumPy."""

import numpy as np
import pytest

from tests.inference.definitions import definition, exact_scores, place_weight
from vfseg.inference.fusion import RULES, centre_weight
from vfseg.inference.settings import FUSIONS

THRESHOLD = 0.5


def test_the_weight_by_place_is_highest_in_the_middle_and_never_0():
    weight = centre_weight((5, 4, 3))
    assert weight.dtype == np.float32
    for voxel in np.ndindex(5, 4, 3):
        assert weight[voxel] == pytest.approx(place_weight(voxel, (5, 4, 3)), rel=1e-6)
    assert weight.max() == weight[2, 1, 1]
    assert weight.min() > 0


def test_every_rule_can_be_named_in_a_config():
    assert tuple(RULES) == FUSIONS


@pytest.mark.parametrize("name", FUSIONS)
def test_terms_join_and_link_as_the_definition_says(name):
    """Predictions of one place, whose weight cancels; one after the other."""
    predictions, rule = exact_scores(7, (5, 24)), RULES[name]
    terms = [rule.terms(p, THRESHOLD) for p in predictions]
    total, weight = terms[0][0], terms[0][1] if len(terms[0]) > 1 else rule.counted(5)
    for term in terms[1:]:
        total = rule.join(total, term[0])
        weight = rule.join(weight, term[1]) if len(term) > 1 else weight
    assert total.dtype == np.float32
    found = rule.link(total / weight)
    for number, p in enumerate(predictions.T):
        wanted = definition(name, p, np.ones(len(p)), THRESHOLD)
        assert found[number] == pytest.approx(wanted, abs=2e-6)
