from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.scene import cohort, measured, sheet
from vfseg.evaluation.ratio import ratio_of_columns
from vfseg.evaluation.statistics import estimate
from vfseg.evaluation.tables import tables


def with_facts(scores, grades, patterns):
    """The same scores, with grades of levels and patterns of instances."""
    lesions = tuple(x._replace(pattern=patterns[x.instance]) for x in scores.lesions.lesions)
    return replace(
        scores,
        vertebrae=tuple(v._replace(grade=grades.get(v.level)) for v in scores.vertebrae),
        lesions=replace(scores.lesions, lesions=lesions),
    )


def test_cells_by_hand():
    # Case a: L2 found and half recalled, L1 healthy with 0.256 mL. Case b: both fractured, missed.
    truth, both = sheet(6), sheet(6, 28)
    seen = np.zeros(truth.shape)
    seen[6, 7:17, 7:17] = 0.9
    seen[28:30, 8:12, 8:12] = 0.8
    a = with_facts(measured(truth, seen, "a"), {"L1": 1, "L2": 2}, {1: "burst"})
    b = with_facts(measured(both, 0 * seen, "b"), {"L2": 0}, {1: "endplate", 2: "across slices"})
    found = tables([a, b], [0.005] * 2, seed=0)
    level, grade, pattern = (found[f"by_{name}"] for name in ("level", "grade", "pattern"))
    assert list(level) == ["L1", "L2"]
    assert level["L2"]["lesions"] == level["L2"]["vertebrae"] == 2
    assert level["L2"]["lesion_sensitivity"] == {"value": 0.5, "ci95": None, "n": 2}
    assert level["L2"]["voxel_recall"]["value"] == pytest.approx(0.25)
    assert level["L2"]["dice_positives"]["value"] == pytest.approx(200 / (100 + 400))
    assert level["L1"]["lesion_sensitivity"] == {"value": 0, "ci95": None, "n": 1}
    assert level["L1"]["false_positive_ml_healthy"]["value"] == pytest.approx(0.256)
    assert {"specificity", "sensitivity"} <= set(level["L1"])
    # Case b does not grade its L1.
    assert {name: cells["vertebrae"] for name, cells in grade.items()} == {
        **{"0": 1, "1": 1, "2": 1},
        "unknown": 1,
    }
    assert grade["2"]["lesion_sensitivity"]["value"] == 1
    assert grade["0"]["lesion_sensitivity"]["value"] == 0
    assert {name: cells["lesion_sensitivity"]["value"] for name, cells in pattern.items()} == {
        **{"endplate": 0, "burst": 1, "across slices": 0},
    }


def test_lesions_of_rising_size_fill_the_quarters():
    cases = []
    for number in range(8):
        truth = np.zeros((40, 24, 24), np.uint8)
        truth[6, 7:17, 7 : 9 + number] = 1  # (2 + n) x 10 voxels of 8 mm3
        cases.append(measured(truth, (truth > 0) * (number % 2), f"case{number}"))
    by_size = tables(cases, [0.5] * len(cases), seed=0)["by_size"]
    assert [cells["lesions"] for cells in by_size.values()] == [2, 2, 2, 2]
    first, *_, last = by_size
    assert first.startswith("Q1: 0.16 to")
    assert last.endswith("0.72 mL")
    assert {cells["lesion_sensitivity"]["value"] for cells in by_size.values()} == {0.5}


def test_a_table_of_the_unknown_is_empty_and_so_is_one_without_lesions():
    healthy = measured(sheet(), np.zeros((40, 24, 24)), "a")
    found = tables([healthy], [0.5], seed=0)
    assert found["by_size"] == found["by_grade"] == found["by_pattern"] == {}
    assert list(found["by_level"]) == ["L1", "L2"]


def test_intervals_are_of_the_patients_that_have_such_a_unit():
    cases = cohort(0, 0.9, 9)  # every third is healthy
    cell = tables(cases, [0.5] * len(cases), seed=3)["by_level"]["L2"]["lesion_sensitivity"]
    own = [c for c in cases if any(x.level == "L2" for x in c.lesions.lesions)]
    pairs = [
        (sum(x.found[0] is not None for x in rows), len(rows))
        for rows in ([x for x in c.lesions.lesions if x.level == "L2"] for c in own)
    ]
    patients = [c.case.patient_id for c in own]
    assert cell == estimate(ratio_of_columns, np.array(pairs, float), patients, seed=3)
    assert cell["n"] == 6
    assert cell["ci95"] is not None
