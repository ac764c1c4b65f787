import json

import numpy as np
import pytest

from tests.evaluation.scene import THRESHOLDS, cohort
from vfseg.errors import UserError
from vfseg.evaluation.compare import compare_runs, compare_states, comparison_text
from vfseg.evaluation.measures import MEASURES, States, read_states, write_states
from vfseg.evaluation.summary import states_of


@pytest.fixture(scope="module")
def runs():
    """Counts of a good and of a poor run on the same six cases."""
    both = [cohort(1, quality) for quality in (0.9, 0.5)]
    return [states_of(cases, [THRESHOLDS] * len(cases)) for cases in both]


def write(folder, states):
    write_states(folder / "evaluation" / "states.npz", states)
    return folder


def rows_by_name(rows):
    return {(row["level"], row["name"]): row for row in rows}


def test_a_run_does_not_differ_from_itself(runs):
    rows = compare_states(runs[0], runs[0], seed=0)
    assert [(row["level"], row["name"]) for row in rows] == [(m.level, m.name) for m in MEASURES]
    for row in rows:
        assert row["difference"] == 0 or row["this"] is None
        if row["ci95"] is not None:
            assert row["ci95"] == [0, 0]
            assert row["in_favour"] == 0.5


def test_differences_are_of_the_same_resamples(runs):
    row = rows_by_name(compare_states(*runs, seed=5))["voxel", "recall"]
    counts = [run.counts["voxel/confusion"] for run in runs]
    draws = np.random.default_rng(5).integers(6, size=(1000, 6))

    def recall(table, drawn):
        tp, _, fn = table[drawn][:, :3].sum(axis=0)
        return tp / (tp + fn)

    broken = [drawn for drawn in draws if not set(drawn) <= {2, 5}]  # any fracture at all
    gains = [recall(counts[0], drawn) - recall(counts[1], drawn) for drawn in broken]
    assert row["difference"] == pytest.approx(row["this"] - row["other"])
    assert row["ci95"] == pytest.approx(np.percentile(gains, [2.5, 97.5]).tolist())
    assert row["in_favour"] == pytest.approx(np.mean(np.array(gains) > 0))
    assert row["in_favour"] == 1.0  # every sheet is seen better


def test_where_less_is_better_less_is_in_favour(runs):
    good = rows_by_name(compare_states(*runs, seed=0))
    poor = rows_by_name(compare_states(*runs[::-1], seed=0))
    for key in (("voxel", "recall"), ("calibration", "ece"), ("voxel", "hd95_mm")):
        assert good[key]["in_favour"] == pytest.approx(1 - poor[key]["in_favour"])
    ece = good["calibration", "ece"]
    assert (ece["in_favour"] > 0.5) == (ece["difference"] < 0)


def test_rows_are_matched_by_case(tmp_path, runs):
    order = [3, 1, 5, 0, 2, 4]
    shuffled = States(
        *(tuple(names[i] for i in order) for names in runs[1][:3]),
        {name: counts[order] for name, counts in runs[1].counts.items()},
    )
    ours, theirs = write(tmp_path / "ours", runs[0]), tmp_path / "theirs"
    straight = compare_runs(ours, theirs, runs[1], seed=0)
    assert compare_runs(ours, theirs, shuffled, seed=0) == straight
    written = json.loads((ours / "evaluation" / "comparison.json").read_text())
    assert written == straight
    assert (written["cases"], written["patients"]) == (6, 6)


def test_few_patients_have_a_difference_but_no_interval(runs):
    few = [
        States(*(names[:4] for names in run[:3]), {k: v[:4] for k, v in run.counts.items()})
        for run in runs
    ]
    row = rows_by_name(compare_states(*few, seed=0))["voxel", "recall"]
    assert row["difference"] > 0
    assert row["ci95"] is row["in_favour"] is None


def test_what_one_run_lacks_is_left_out(runs):
    counts = {k: v for k, v in runs[1].counts.items() if k != "calibration/scaled"}
    rows = compare_states(runs[0], runs[1]._replace(counts=counts), seed=0)
    assert ("calibration", "ece_scaled") not in rows_by_name(rows)
    assert ("calibration", "ece") in rows_by_name(rows)


def test_other_cases_and_other_preparations_are_refused(tmp_path, runs):
    ours, theirs = write(tmp_path / "ours", runs[0]), tmp_path / "theirs"
    other = runs[1]._replace(cases=(*runs[1].cases[:5], "stranger"))
    with pytest.raises(UserError, match=r"same test cases: case5, stranger in one"):
        compare_runs(ours, theirs, other, seed=0)
    changed = runs[1]._replace(fingerprints=("x", *runs[1].fingerprints[1:]))
    with pytest.raises(UserError, match=r"files of case0, or their preparation"):
        compare_runs(ours, theirs, changed, seed=0)
    assert not (ours / "evaluation" / "comparison.json").exists()


def test_the_table_names_both_runs_and_every_measure(tmp_path, runs):
    ours = write(tmp_path / "ours", runs[0])
    text = comparison_text(compare_runs(ours, tmp_path / "theirs", runs[1], seed=0))
    lines = [line.split() for line in text.splitlines()]
    assert str(ours) in text
    assert str(tmp_path / "theirs") in text
    recall = next(line for line in lines if line[:2] == ["voxel", "recall"])
    assert recall[-2:] == ["100", "%"]
    assert len(lines) == 2 + len(MEASURES)
    assert read_states(ours / "evaluation" / "states.npz").cases == runs[0].cases
