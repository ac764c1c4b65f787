"""What is known of splits before they are drawn is what is drawn then."""

from pathlib import Path

import pytest

from tests.crops.test_splits import assign, make_case, settings
from vfseg.crops.split_sizes import named_splits, outline
from vfseg.data.cases import Case


def cases_of(*patients_and_splits):
    """Cases of (patient, split), in this order."""
    return [
        Case(f"c{number}", patient, Path("ct.nii.gz"), split=split)
        for number, (patient, split) in enumerate(patients_and_splits)
    ]


def known(cases, **changes):
    return outline([case.patient_id for case in cases], named_splits(cases), settings(**changes))


@pytest.mark.parametrize(
    ("named", "changes", "expected"),
    [
        ([], {}, {"": 11 / 20}),  # 0.2 and 0.25 of 20 validate and test
        ([("t", "test")], {}, {"test": 0, "": 16 / 20}),  # round(0.2 * 21) = 4 of 20 validate
        ([("t", "train")], {}, {"train": 1, "": 11 / 20}),  # of 21, 4 and 5 do not train
        ([(split, split) for split in ("train", "validation", "test")], {}, {"train": 1, "": 1}),
        ([("t", "test")], {"folds": 5}, {"": 0.8}),
        ([], {"folds": 5}, {"": 0.8 * 15 / 20}),
        ([], {"validation": 0.0, "test": 0.0}, {"": 1}),
    ],
)
def test_what_part_of_the_patients_trains(named, changes, expected):
    cases = cases_of(*named, *((f"p{number}", "") for number in range(20)))
    shares = known(cases, **changes).training_shares
    for case in cases:
        assert shares[case.patient_id] == pytest.approx(expected.get(case.split, 0))


@pytest.mark.parametrize("spelled", ["p1", "P01"])
def test_an_open_case_follows_its_patient_in_any_spelling(spelled):
    cases = cases_of(("p1", "test"), ("p2", "train"), (spelled, ""), ("p3", ""))
    assert known(cases).training_shares[spelled] == 0
    # One of three patients, p3, is open; one validates, so it does not train.
    assert known(cases).sizes == (1, 1, 1)
    assert known(cases).training_shares["p3"] == 0


def test_a_split_is_named_by_cases_that_can_be_used():
    """Of a patient without one nobody tests, so others are drawn for it."""
    cases = cases_of(("gone", "test"), *((f"p{number}", "") for number in range(20)))
    usable = [case.patient_id for case in cases[1:]]
    assert outline(usable, named_splits(cases), settings()).sizes == (11, 4, 5)


@pytest.mark.parametrize("folds", [0, 3])
@pytest.mark.parametrize("split", ["", "train", "validation", "test"])
def test_what_is_drawn_has_these_sizes(tmp_path, split, folds):
    """And who is sure to train, or not to, does as is said."""
    pairs = [make_case(f"c{n}", f"p{n}", split * (n < 4)) for n in range(12)]
    pairs += [make_case("again", "P01"), make_case("twice", "p7")]
    cases, records = zip(*pairs)
    before = known(cases, folds=folds)
    drawn = assign(cases, records, tmp_path / "splits.csv", folds=folds)
    own = {case.patient_id: drawn.split_of[case.case_id] for case in cases}
    if not folds:
        places = [own[name] for name in before.fixed]
        assert before.sizes == tuple(map(places.count, ("train", "validation", "test")))
        for patient, share in before.training_shares.items():
            assert share not in (0, 1) or (own[patient] == "train") == share
    on_average = sum(before.training_shares[name] for name in before.fixed)
    assert on_average == pytest.approx(before.sizes[0] * (1 - 1 / folds if folds else 1))
