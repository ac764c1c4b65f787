import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from tests.evaluation.scene import THRESHOLDS, cohort
from vfseg.digests import damage
from vfseg.evaluation.measures import MEASURES, case_states, read_states
from vfseg.evaluation.summary import judged, summarise, write_evaluation


@pytest.fixture(scope="module")
def scores():
    return cohort(1, 0.8)


@pytest.fixture(scope="module")
def summary(scores):
    return summarise(judged(scores, THRESHOLDS), split="test", synthetic=True, seed=0)


def test_the_keys_of_the_contract_are_there(summary):
    assert (summary["split"], summary["cases"], summary["synthetic"]) == ("test", 6, True)
    assert summary["threshold"] == {"value": 0.5, "chosen_on": "validation"}
    wanted = {
        "slice": {"dice", "iou", "precision", "recall", "pr_auc", "prevalence"},
        "voxel": {"dice", "iou", "precision", "recall", "pr_auc", "prevalence"}
        | {"prevalence_whole_ct", "pr_auc_hu_threshold"},
        "lesion": {"average_precision", "sensitivity_at_1_fp", "froc"},
        "vertebra": {"roc_auc", "pr_auc", "sensitivity", "specificity", "prevalence"},
    }
    for level, keys in wanted.items():
        assert keys <= set(summary[level])
    for measure in MEASURES:
        assert set(summary[measure.level][measure.name]) == {"value", "ci95", "n"}
        assert summary[measure.level][measure.name]["n"] == 6
    json.dumps(summary, allow_nan=False)


def test_values_lie_in_their_intervals(summary):
    for measure in MEASURES:
        entry = summary[measure.level][measure.name]
        if entry["ci95"] is not None:
            low, high = entry["ci95"]
            assert low <= entry["value"] <= high, measure.name
    assert summary["voxel"]["pr_auc"]["ci95"] is not None
    assert summary["lesion"]["average_precision"]["ci95"] is not None


def test_units_are_pooled_over_cases(scores, summary):
    units = [v for s in scores for v in s.vertebrae]
    truth, values = [v.fractured for v in units], [v.score for v in units]
    assert summary["vertebra"]["roc_auc"]["value"] == pytest.approx(roc_auc_score(truth, values))
    exact = average_precision_score(truth, values)
    assert summary["vertebra"]["pr_auc"]["value"] == pytest.approx(exact, abs=1e-4)
    assert summary["vertebra"]["prevalence"] == np.mean(truth)
    assert summary["vertebra"]["lift"] == pytest.approx(
        summary["vertebra"]["pr_auc"]["value"] / np.mean(truth)
    )
    assert summary["vertebra"]["measured_in"] == ["mask"]
    assert summary["lesion"]["lesions"] == 6  # 2, 1 and 0, twice
    assert summary["case"]["prevalence"] == pytest.approx(4 / 6)
    counts = {"fractured": sum(truth), "healthy": len(truth) - sum(truth)}
    assert {name: summary["vertebra"][name] for name in counts} == counts
    assert (summary["case"]["fractured"], summary["case"]["healthy"]) == (4, 2)
    false, true, _ = roc_curve(truth, values, drop_intermediate=False)
    np.testing.assert_allclose(
        summary["vertebra"]["roc_curve"], np.stack([false, true], axis=1), atol=1e-12
    )
    for level in ("slice", "voxel"):
        recall, precision = np.array(summary[level]["pr_curve"]).T
        area = np.sum(np.diff(recall, prepend=0) * precision)
        # Steps of a hundredth of the recall.
        assert area == pytest.approx(summary[level]["pr_auc"]["value"], abs=0.011)
    froc = summary["lesion"]["froc"]
    assert froc[0] == [0, 0]
    assert froc[-1][1] == pytest.approx(summary["lesion"]["sensitivity"]["value"])


def test_the_order_in_which_cases_come_changes_nothing(scores, summary):
    again = summarise(judged(scores[::-1], THRESHOLDS), split="test", synthetic=True, seed=0)
    assert again == summary


def test_the_counts_of_an_evaluation_are_taken_once(tmp_path, scores, monkeypatch):
    taken = []

    def counted(*given):
        taken.append(given)
        return case_states(*given)

    monkeypatch.setattr("vfseg.evaluation.summary.case_states", counted)
    cases = judged(scores, THRESHOLDS)
    write_evaluation(tmp_path, summarise(cases, split="test", synthetic=True, seed=0), cases)
    assert len(taken) == 1
    assert read_states(tmp_path / "states.npz").cases == cases.states.cases


def test_every_case_is_judged_by_its_own_thresholds_in_the_order_of_ids(scores):
    other = replace(THRESHOLDS, fused=0.3)
    cases = judged(scores[::-1], THRESHOLDS, {"case2": other})
    assert [score.case.case_id for score in cases.scores] == [f"case{i}" for i in range(6)]
    assert cases.by == [THRESHOLDS] * 2 + [other] + [THRESHOLDS] * 3


def test_what_is_written_agrees_with_the_summary(tmp_path, scores, summary):
    write_evaluation(tmp_path, summary, judged(scores[::-1], THRESHOLDS))
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    tables = {}
    for name in ("cases", "vertebrae", "lesions", "truth_lesions", "tables"):
        with open(tmp_path / f"{name}.csv", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [row["case_id"] for row in tables["cases"]] == [f"case{i}" for i in range(6)]
    assert len(tables["vertebrae"]) == 12
    found = [row for row in tables["truth_lesions"] if row["found_at_iou_0.1"]]
    assert len(found) / 6 == pytest.approx(summary["lesion"]["sensitivity"]["value"])
    wrong = sum(row["hit"] == "False" for row in tables["lesions"])
    expected = summary["lesion"]["false_positives_per_case"]["value"]
    assert wrong / 6 == pytest.approx(expected)
    assert sum(int(row["false_positives"]) for row in tables["cases"]) == wrong
    (cell,) = (
        row
        for row in tables["tables"]
        if (row["table"], row["group"], row["measure"]) == ("by_level", "L1", "sensitivity")
    )
    written = summary["by_level"]["L1"]["sensitivity"]
    assert float(cell["value"]) == pytest.approx(written["value"], rel=1e-5)
    assert int(cell["patients"]) == written["n"]
    assert read_states(tmp_path / "states.npz").cases == tuple(f"case{i}" for i in range(6))


def test_damage_to_any_file_of_an_evaluation_is_noticed(tmp_path, scores, summary):
    write_evaluation(tmp_path, summary, judged(scores, THRESHOLDS))
    files = sorted(path for path in tmp_path.iterdir() if path.name != "digests.json")
    assert len(files) == 7
    (tmp_path / "fusion.csv").write_text("written by another command")
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"x")
        assert damage(tmp_path) == f"{path.name} is not as it was written"
        path.write_bytes(whole)
    assert damage(tmp_path) == ""


def test_without_a_lesion_the_list_has_the_same_first_line(tmp_path, scores, summary):
    write_evaluation(tmp_path, summary, judged(scores, THRESHOLDS))
    first, second, *_ = (tmp_path / "lesions.csv").read_text().splitlines()
    assert second
    silent = [replace(s, lesion_rows=()) for s in scores]
    write_evaluation(tmp_path, summary, judged(silent, THRESHOLDS))
    assert (tmp_path / "lesions.csv").read_text().splitlines() == [first]
