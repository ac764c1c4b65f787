import dataclasses

import numpy as np
import pytest

from tests.evaluation.scene import THRESHOLDS, cohort, measured, sheet
from vfseg.errors import UserError
from vfseg.evaluation.measures import MEASURES, States, case_states, read_states, write_states
from vfseg.evaluation.metrics import number


def value(states, level, name):
    (measure,) = (m for m in MEASURES if (m.level, m.name) == (level, name))
    return number(measure.metric(states[measure.state].sum(axis=0)))


def test_dice_on_positives_dice_on_all_and_false_volume_are_three_numbers():
    # One vertebra perfect, one missed, one healthy and silent, one healthy with 32 voxels.
    perfect, missed = sheet(6), sheet(28)
    false = 1.0 * (perfect > 0)
    false[28:30, 8:12, 8:12] = 1
    cases = [measured(perfect, false, "a"), measured(missed, 0 * missed, "b")]
    states = case_states(cases, [THRESHOLDS] * len(cases))
    assert value(states, "voxel", "dice_positives") == pytest.approx((1 + 0) / 2)
    assert value(states, "voxel", "dice_all") == pytest.approx((1 + 0 + 1 + 0) / 4)
    assert value(states, "voxel", "false_positive_ml_healthy") == pytest.approx(0.256 / 2)
    assert value(states, "voxel", "dice") == pytest.approx(400 / (232 + 400))


def test_distances_are_of_cases_that_have_both_surfaces():
    truth = sheet(6)
    cases = [
        measured(truth, np.roll(truth > 0, 2, axis=0), "moved"),  # 4 mm
        measured(truth, truth > 0, "perfect"),
        measured(truth, 0 * truth, "silent"),
    ]
    states = case_states(cases, [THRESHOLDS] * len(cases))
    assert states["voxel/hd95"].tolist() == [[4.0, 1], [0, 1], [0, 0]]
    assert value(states, "voxel", "hd95_mm") == pytest.approx(2)
    # A sheet of two layers is all surface. Moved by two layers of 2 mm, half of each copy is near.
    assert states["voxel/surface"].tolist() == [[200, 400], [400, 400], [0, 200]]
    assert value(states, "voxel", "surface_dice_2mm") == pytest.approx(600 / 1000)


def test_vertebrae_and_cases_are_counted_at_the_threshold_of_the_verdict():
    truth = sheet(6)
    cases = [
        measured(truth, 0.31 * np.ones(truth.shape), "all"),
        measured(truth, 0 * truth, "none"),
    ]
    states = case_states(cases, [THRESHOLDS] * len(cases))  # 0.3 for vertebrae
    assert (
        value(states, "vertebra", "sensitivity") == value(states, "vertebra", "specificity") == 0.5
    )
    assert value(states, "vertebra", "roc_auc") == 0.5
    assert value(states, "case", "sensitivity") == 0.5
    assert value(states, "case", "specificity") is None
    assert value(states, "case", "roc_auc") is None


def test_each_case_is_counted_at_the_thresholds_of_the_model_that_predicted_it():
    truth = sheet(6)
    weak = [measured(truth, 0.31 * np.ones(truth.shape), name) for name in "ab"]
    other = dataclasses.replace(THRESHOLDS, vertebra=0.32, fused=0.32, slice=0.32)
    for level in ("vertebra", "voxel", "slice"):
        together = case_states(weak, [dataclasses.replace(THRESHOLDS, fused=0.3, slice=0.3), other])
        positives = together[f"{level}/confusion"][:, :2].sum(axis=1)  # true and false
        assert positives[0] > 0
        assert positives[1] == 0


VERDICT = ("bins", "heights", "likely", "review")


def test_every_measure_has_counts_one_row_a_case():
    cases = cohort(0, 0.8, 3)
    states = case_states(cases, [THRESHOLDS] * len(cases))
    assert {measure.state for measure in MEASURES} == set(states)
    assert {len(counts) for counts in states.values()} == {3}
    unscaled = THRESHOLDS.__class__(slice=0.5, fused=0.5, vertebra=0.3)
    only_fitted = {"calibration/scaled", *(f"verdict/{x}" for x in VERDICT)}
    assert set(states) - set(case_states(cases, [unscaled] * len(cases))) == only_fitted


def test_states_are_kept_as_they_are(tmp_path):
    counts = case_states(cohort(0, 0.8, 2), [THRESHOLDS] * 2)
    states = States(("a", "b"), ("p", "p"), ("1", "2"), counts)
    path = tmp_path / "states.npz"
    write_states(path, states)
    again = read_states(path)
    assert again[:3] == states[:3]
    assert set(again.counts) == set(states.counts)
    for name, counts in states.counts.items():
        np.testing.assert_array_equal(again.counts[name], counts)
        assert again.counts[name].dtype == counts.dtype


def test_states_that_are_missing_or_damaged_are_named(tmp_path):
    path = tmp_path / "states.npz"
    with pytest.raises(UserError, match="not evaluated yet"):
        read_states(path)
    for content in (b"", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            read_states(path)
    np.savez(path, counts=np.zeros(3))
    with pytest.raises(UserError, match="damaged"):
        read_states(path)
