import dataclasses

import numpy as np
import pytest

from tests.evaluation.scene import cohort
from vfseg.errors import UserError
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.thresholds import (
    BY_MAP,
    BY_YOUDEN,
    choose,
    of_highest_dice,
    out_of_sample,
)
from vfseg.evaluation.verdict import Evidence
from vfseg.evaluation.vertebrae import with_evidence


def histogram(scores, truth):
    made = ScoreHistogram()
    made.add(np.array(scores), np.array(truth))
    return made


CLEAR = histogram([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [0, 0, 0, 1, 1, 1])


def test_each_threshold_comes_from_its_own_unit():
    chosen = choose(0.25, CLEAR, [(Evidence(0.01, None), False), (Evidence(0.03, None), True)])
    assert chosen.slice == 0.25
    assert chosen.fused == pytest.approx(0.7, abs=1e-5)
    assert (chosen.vertebra, chosen.vertebra_rule) == (pytest.approx(0.02, abs=1e-5), BY_YOUDEN)
    assert chosen.temperature == pytest.approx(0.05, rel=0.05)  # separable: as sure as it may be


@pytest.mark.parametrize(
    "vertebrae", [[], [(Evidence(0.3, None), True)] * 2, [(Evidence(0.1, None), False)]]
)
def test_without_both_classes_of_vertebrae_the_map_s_threshold_stands_in(vertebrae):
    chosen = choose(0.25, CLEAR, vertebrae)
    assert (chosen.vertebra, chosen.vertebra_rule) == (chosen.fused, BY_MAP)


def test_without_a_fracture_nothing_can_be_chosen():
    with pytest.raises(UserError, match=r"fused map.*split 'validation'"):
        choose(0.25, histogram([0.1, 0.2], [0, 0]), [])


def test_a_threshold_on_the_edge_is_told(caplog):
    of_highest_dice(CLEAR, "slice")
    assert not caplog.records
    of_highest_dice(histogram([0.9, 0.1], [0, 1]), "slice")
    assert "slice threshold" in caplog.text
    assert "edge" in caplog.text


def test_thresholds_of_a_model_come_from_what_no_model_had_seen():
    """By the definition of each, from the slices, the maps and the vertebrae of all cases."""
    scores = cohort(0, 0.8)
    chosen = out_of_sample(scores)
    slices = sum((score.slices.histogram for score in scores), ScoreHistogram())
    voxels = sum((score.voxels for score in scores), ScoreHistogram())
    units = [unit for score in scores for unit in with_evidence(score.vertebrae)]
    assert chosen.chosen_on == "out of fold"
    of_validation = choose(of_highest_dice(slices, "slice"), voxels, units)
    assert dataclasses.replace(chosen, chosen_on="validation") == of_validation
    assert chosen.verdict is not None
    assert out_of_sample(scores[::-1]).fused == chosen.fused
