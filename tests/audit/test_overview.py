"""A data set in a few figures."""

import pytest

from tests.audit.data_set import audit, sheet, write_case
from vfseg.audit.overview import overview


def test_a_lesion_reaches_as_far_as_its_farthest_side(tmp_path):
    """From the nearest middle: the body's is at 19.5, the sheet's sides at 13.5 and 25.5."""
    (case,) = audit(write_case(tmp_path, "a", fractures=sheet("L1") + sheet("L3", 2))).cases
    assert [lesion.reach_mm for lesion in case.lesions] == pytest.approx([12, 12], abs=0.5)


def test_where_no_vertebra_is_known_it_reaches_nobody_knows_how_far(tmp_path):
    case = write_case(tmp_path, "a", labels=sheet("L1", 77))
    (facts,) = audit(case).cases
    assert [lesion.reach_mm for lesion in facts.lesions] == [None]


def test_figures_are_those_of_the_usable_cases(tmp_path):
    cases = [
        write_case(tmp_path, "a", split="train"),
        write_case(tmp_path, "b", seed=1, split="test"),
        write_case(tmp_path, "c", seed=2, split=""),
        write_case(tmp_path, "d", seed=3, split="validation", labels=sheet("L1", 77)),
    ]
    # "a" trains, "c" is as likely to as not, and "b" does not.
    data = overview(audit(*cases).cases, {"a": 1, "b": 0, "c": 0.5})
    assert (data.cases, data.unusable, data.patients) == (3, 1, 3)
    assert data.voxel_spacing == pytest.approx((2, 2, 2))
    assert data.cube_mm == pytest.approx(2)
    assert data.levels == ("L1", "L2", "L3")
    assert (data.vertebrae, data.training_vertebrae) == (9, 5), "3 and half of 3"
    assert (data.lesions, data.training_lesions) == (3, 2), "1 and half of 1"
    assert data.volume_ml == pytest.approx(2 * 12 * 12 * 8 / 1000)
    assert data.thickness_mm == pytest.approx(4, rel=0.1)
    assert "3 cases (1 more cannot be used) of 3 patients; 5 of 9 vertebrae" in data.lines()[0]


def test_of_nothing_there_are_no_figures_and_no_warning():
    data = overview((), {})
    assert (data.cases, data.patients, data.lesions) == (0, 0, 0)


def test_patients_are_people(tmp_path):
    """However their names are spelled."""
    cases = [write_case(tmp_path, f"c{n}", seed=n, patient=name) for n, name in enumerate("pPq")]
    assert overview(audit(*cases).cases, dict.fromkeys("pPq", 1.0)).patients == 2
