"""A data set in a few figures."""

import pytest

from tests.audit.data_set import audit, sheet, write_case
from vfseg.audit.overview import overview, training_shares
from vfseg.crops.splits import SplitSettings

SPLIT = SplitSettings(validation=0.15, test=0.2, folds=0, fold=0)


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
        write_case(tmp_path, "b", seed=1, split="test", patient="p"),
        write_case(tmp_path, "c", seed=2, split="test", patient="P"),
        write_case(tmp_path, "d", seed=3, split="validation", labels=sheet("L1", 77)),
    ]
    data = overview(audit(*cases).cases, training_shares({"train", "test"}, SPLIT))
    assert (data.cases, data.unusable, data.patients) == (3, 1, 2)
    assert data.voxel_spacing == pytest.approx((2, 2, 2))
    assert data.cube_mm == pytest.approx(2)
    assert data.levels == ("L1", "L2", "L3")
    assert (data.vertebrae, data.training_vertebrae) == (9, 3)
    assert (data.lesions, data.training_lesions) == (3, 1)
    assert data.volume_ml == pytest.approx(2 * 12 * 12 * 8 / 1000)
    assert data.thickness_mm == pytest.approx(4, rel=0.1)
    assert "3 cases (1 more cannot be used) of 2 patients; 3 of 9 vertebrae" in data.lines()[0]


def test_of_nothing_there_are_no_figures_and_no_warning():
    data = overview((), training_shares((), SPLIT))
    assert (data.cases, data.patients, data.lesions) == (0, 0, 0)


@pytest.mark.parametrize(
    ("named", "folds", "of_train", "of_open"),
    [
        ((), 0, 1, 1 - 0.15 - 0.2),
        (("test",), 0, 1, 1 - 0.15),
        (("train", "validation", "test"), 0, 1, 1),
        (("test",), 5, 0.8, 0.8),
        ((), 5, 0.8, (1 - 0.2) * 0.8),
    ],
)
def test_what_part_of_the_cases_trains(named, folds, of_train, of_open):
    settings = SplitSettings(validation=0.15, test=0.2, folds=folds, fold=0)
    shares = training_shares(named, settings)
    assert shares == pytest.approx({"train": of_train, "": of_open, "validation": 0, "test": 0})
