"""`vfseg.fuse`: the rules by their formulas, what maps leave out, and what is no map."""

import numpy as np
import pytest

import vfseg
from vfseg.errors import UserError

A = np.array([0.2, 0.9, np.nan, np.nan])
B = np.array([0.6, 0.3, 0.5, np.nan])


def log_odds(p):
    return np.log(p / (1 - p))


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("mean", [0.4, 0.6]),
        ("maximum", [0.6, 0.9]),
        ("vote", [0.5, 0.5]),  # one of two reaches 0.5
        ("confidence", [(0.6 * 0.2 + 0.2 * 0.6) / 0.8, (0.8 * 0.9 + 0.4 * 0.3) / 1.2]),
        (
            "product",
            [
                1 / (1 + np.exp(-(log_odds(0.2) + log_odds(0.6)) / 2)),
                1 / (1 + np.exp(-(log_odds(0.9) + log_odds(0.3)) / 2)),
            ],
        ),
    ],
)
def test_a_rule_is_its_formula(rule, wanted):
    fused = vfseg.fuse([A, B], rule)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused[:2], wanted, atol=1e-6)
    assert fused[2] == {"vote": 1, "confidence": 0.5}.get(rule, pytest.approx(0.5)), "B alone"
    assert np.isnan(fused[3]), "nobody says anything"


def test_votes_are_counted_from_a_threshold_on():
    np.testing.assert_array_equal(vfseg.fuse([A, B], "vote", threshold=0.25)[:2], [0.5, 1])


@pytest.mark.parametrize(
    ("maps", "rule", "said"),
    [
        ([A, B], "centre", "no rule 'centre'. There are mean"),
        ([], "mean", "found none"),
        ([A, B[:2]], "mean", r"found \(2,\), \(4,\)"),
        ([A, B + 1], "mean", "values from 1.3 to 1.6, expected"),
    ],
)
def test_what_cannot_be_fused_is_named(maps, rule, said):
    with pytest.raises(UserError, match=said):
        vfseg.fuse(maps, rule)
