"""What the card says: figures of each left-out patient and of all, and alarms on healthy CTs."""

import re

import pytest

from tests.cohort import tiny_config
from tests.evaluation.scene import THRESHOLDS, cohort
from vfseg.commands.card import HealthyCT, LeftOut, card_text, pooled, spaced
from vfseg.evaluation.out_of_fold import Evaluated
from vfseg.evaluation.verdict import LIKELY, NO_SIGN, REVIEW


def part(name, scores, healthy=()):
    return LeftOut(name, Evaluated(THRESHOLDS, scores), healthy)


SCORES = cohort(0, 0.8)
PARTS = [part("p1", SCORES[:2]), part("p2", SCORES[2:])]


def test_all_together_are_judged_as_one():
    figures, whole = pooled(PARTS), pooled([part("both", SCORES)])
    assert figures == whole


def test_a_row_a_patient_and_one_of_all():
    card = card_text(PARTS, THRESHOLDS, tiny_config(), "About.", step=4)
    rows = [line for line in card.splitlines() if re.match(r"\| (p1|p2|\*\*all\*\*) ", line)]
    assert [row.split(" | ")[1] for row in rows] == ["2", "4", "6"]
    for row, parts in zip(rows, (PARTS[:1], PARTS[1:], PARTS), strict=True):
        figures = pooled(parts)
        units = [unit for p in parts for s in p.evaluated.scores for unit in s.vertebrae]
        assert f"{len(units)}, {sum(u.fractured for u in units)} of them fractured" in row
        assert f"| {figures['voxel']['dice']['value']:.3f} |" in row
        both = (figures["verdict"][name]["value"] for name in ("sensitivity", "specificity"))
        assert "| " + ", ".join(f"{value:.3f}" for value in both) + " |" in row
    positive = sum(int(s.voxels.counts[1].sum()) for s in SCORES)
    voxels = sum(int(s.voxels.counts.sum()) for s in SCORES)
    assert f"Voxel prevalence {positive / voxels:.4f}" in card


def test_alarms_on_a_healthy_ct_are_counted():
    rows = [
        {"level": "L1", "verdict": LIKELY, "probability": 0.9, "map_ml": 0.3},
        {"level": "L2", "verdict": REVIEW, "probability": 0.4, "map_ml": 0.1},
        {"level": "L3", "verdict": NO_SIGN, "probability": 0.0, "map_ml": 0.0},
        {"level": "L4", "verdict": NO_SIGN, "probability": None, "map_ml": 0.0},
    ]
    with_healthy = part("p1", SCORES, [HealthyCT("ct", rows, 2)])
    card = card_text([with_healthy], THRESHOLDS, tiny_config(), "About.", step=4)
    assert "\n| ct | 4 | 1 | 1 | 0.900 | 0.400 | 0.300 | 2 |\n" in card
    assert "\n- ct: L1 0.900, L2 0.400, L3 0.000, L4 not defined\n" in card


@pytest.mark.parametrize("words", ["Research use only", "synthetic", "never saw", "About."])
def test_the_card_says_what_it_is(words):
    assert words in card_text(PARTS, THRESHOLDS, tiny_config(), "About.", step=4)


def test_blocks_are_set_apart_and_tables_are_not():
    text = spaced(["# A", "text", "| a |\n| --- |", "| 1 |", "", "- x", "- y"])
    assert text == "# A\n\ntext\n\n| a |\n| --- |\n| 1 |\n\n- x\n- y\n"
