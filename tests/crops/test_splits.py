"""Patients stay whole, levels and fractures are spread, and what was drawn once is kept."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.crops.test_store import AFFINE, make_record
from vfseg.crops.settings import SplitSettings
from vfseg.crops.splits import assign_splits
from vfseg.crops.store import CropRecord
from vfseg.crops.stratify import imbalance, stratify
from vfseg.data.cases import Case
from vfseg.data.schemes import LEVELS
from vfseg.errors import UserError


def settings(**changes):
    fields = {"validation": 0.2, "test": 0.25, "folds": 0, "fold": 0}
    return SplitSettings(**{**fields, **changes})


def assign(cases, records, path, *, seed=3, **changes):
    return assign_splits(cases, records, settings(**changes), path, seed=seed)


def make_case(case_id, patient_id, split="", fractured=(), levels=("T12", "L1")):
    """A case of the manifest and its record, with one crop for each level."""
    crops = tuple(
        CropRecord(level, 1, (0, 0, 0), 9 * (level in fractured), {}, affine=AFFINE)
        for level in levels
    )
    case = Case(case_id, patient_id, Path("ct.nii.gz"), split=split)
    return case, dataclasses.replace(make_record(case_id), patient_id=patient_id, crops=crops)


def make_cohort(patients=38, seed=0):
    """As a clinical series: 14 levels, some cut off, a quarter fractured, some patients twice."""
    rng = np.random.default_rng(seed)
    pairs = []
    for patient in range(patients):
        for scan in range(1 + (patient % 7 == 0)):
            top = int(rng.integers(0, 5)) * (rng.random() < 0.3)
            levels = LEVELS[top:]
            fractured = [level for level in levels if rng.random() < 0.25]
            pairs.append(make_case(f"{patient}-{scan}", f"p{patient}", "", fractured, levels))
    cases, records = zip(*pairs)
    return cases, records


def patients_of(splits, cases):
    found = {}
    for case in cases:
        found.setdefault(splits.split_of[case.case_id], set()).add(case.patient_id)
    return found


def test_shares_are_of_patients_and_patients_stay_whole(tmp_path):
    cases, records = make_cohort()
    found = patients_of(assign(cases, records, tmp_path / "s.csv"), cases)
    # 38 patients: round(0.2 * 38) = 8, round(0.25 * 38) = 10 (to even from 9.5), the rest 20.
    assert {split: len(members) for split, members in found.items()} == {
        "train": 20,
        "validation": 8,
        "test": 10,
    }
    assert sum(map(len, found.values())) == len(set.union(*found.values()))


def spread(records, part_of, parts):
    """Largest relative error of a part's share of the crops and fractures of a level."""
    counts = np.zeros((parts, 2, len(LEVELS)))
    patients = [set() for _ in range(parts)]
    for record in records:
        part = part_of(record)
        patients[part].add(record.patient_id)
        for crop in record.crops:
            level = LEVELS.index(crop.level)
            counts[part, :, level] += 1, crop.fracture_voxels > 0
    share = np.array([len(p) for p in patients]) / sum(len(p) for p in patients)
    wanted = share[:, None, None] * counts.sum(0)
    return (np.abs(counts - wanted) / np.maximum(counts.sum(0), 1)).mean()


@pytest.mark.parametrize("seed", range(3))
def test_levels_and_fractures_are_spread_better_than_by_chance(tmp_path, seed):
    cases, records = make_cohort(seed=seed)
    splits = assign(cases, records, tmp_path / "s.csv", seed=seed)
    names = ("train", "validation", "test")
    ours = spread(records, lambda r: names.index(splits.split_of[r.case_id]), 3)
    rng, by_chance = np.random.default_rng(seed), []
    for _ in range(200):
        order = rng.permutation(38)
        drawn = dict(zip((f"p{i}" for i in order), np.repeat([0, 1, 2], [20, 8, 10])))
        by_chance.append(spread(records, lambda r, drawn=drawn: drawn[r.patient_id], 3))
    assert ours < min(by_chance)
    assert splits.notes == ()  # each level has several fractures: the test split shows each


def test_folds_divide_train_and_rotate(tmp_path):
    cases, records = make_cohort()
    path = tmp_path / "splits.csv"
    validated = []
    for fold in range(5):
        splits = assign(cases, records, path, folds=5, fold=fold)
        found = patients_of(splits, cases)
        assert len(found["test"]) == 10
        assert set.union(*found.values()) == {case.patient_id for case in cases}
        assert sum(map(len, found.values())) == 38
        validated.append(found["validation"])
        tested = found["test"]
    assert sorted(map(len, validated)) == [5, 5, 6, 6, 6]
    assert set.union(*validated) == {case.patient_id for case in cases} - tested
    assert sum(map(len, validated)) == 28
    part = spread(
        [r for r in records if r.case_id in splits.fold_of], lambda r: splits.fold_of[r.case_id], 5
    )
    assert part < 0.1  # of 28 patients in 5 folds, no fold is far from a fifth of each level


def test_drawn_anew_the_same_seed_gives_the_same(tmp_path):
    cases, records = make_cohort()
    drawn = [
        assign(cases, list(records)[::order], tmp_path / f"{i}.csv", seed=seed)
        for i, (seed, order) in enumerate([(3, 1), (3, -1), (4, 1)])
    ]
    assert drawn[0].split_of == drawn[1].split_of  # whatever the order of the cases
    assert drawn[0].split_of != drawn[2].split_of


def test_what_stands_is_reused(tmp_path):
    """Other shares or another seed change nothing once the file is there; a hand may."""
    cases, records = make_cohort()
    path = tmp_path / "splits.csv"
    first = assign(cases, records, path)
    written = path.read_bytes()
    again = assign(cases, records, path, seed=9, test=0.5, validation=0.1)
    assert again.split_of == first.split_of
    assert path.read_bytes() == written
    moved = next(c.case_id for c in cases if first.split_of[c.case_id] == "train")
    patient = moved.split("-")[0]
    lines = [
        line.replace(",train,", ",test,") if line.startswith(f"{patient}-") else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines))
    assert assign(cases, records, path).split_of[moved] == "test"


def test_the_file_has_one_line_a_case(tmp_path):
    cases, records = make_cohort(6)
    splits = assign(cases, records, tmp_path / "splits.csv", folds=2)
    with open(tmp_path / "splits.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["case_id"] for row in rows] == [case.case_id for case in cases]
    assert list(rows[0]) == ["case_id", "patient_id", "split", "fold"]
    for row in rows:
        fold = splits.fold_of.get(row["case_id"])
        assert row["fold"] == ("" if fold is None else str(fold))
        assert (row["split"] == "train") == (fold is not None)


def test_the_manifest_comes_first(tmp_path):
    """Named patients stay; a named test split takes nobody else; a case follows its patient."""
    cases, records = make_cohort(20)
    chosen = {"p1": "test", "p2": "test", "p3": "train", "p7": "validation"}
    cases = [
        dataclasses.replace(c, split=chosen.get(c.patient_id, "") * c.case_id.endswith("-0"))
        for c in cases
    ]
    splits = assign(cases, records, tmp_path / "s.csv", test=0.5)
    found = patients_of(splits, cases)
    assert found["test"] == {"p1", "p2"}
    assert found["validation"] == {"p7"}
    assert splits.split_of["7-1"] == "validation"  # scanned twice, named once
    assert len(found["train"]) == 17


def test_named_train_is_the_ground_that_folds_divide(tmp_path):
    pairs = [make_case(f"c{i}", f"p{i}", "test" if i < 2 else "train") for i in range(8)]
    cases, records = zip(*pairs)
    splits = assign(cases, records, tmp_path / "s.csv", folds=3)
    found = patients_of(splits, cases)
    assert found["test"] == {"p0", "p1"}
    assert (len(found["validation"]), len(found["train"])) == (2, 4)


def test_a_level_without_a_fracture_in_the_test_split_is_a_note(tmp_path):
    pairs = [
        make_case("a", "a", "test", fractured=["L1"]),
        make_case("b", "b", "train", fractured=["T12", "L1"], levels=("T12", "L1", "L2")),
        make_case("c", "c", "train", fractured=["T12"]),
    ]
    cases, records = zip(*pairs)
    for _ in range(2):  # drawn, and reused
        (note,) = assign(cases, records, tmp_path / "s.csv").notes
        assert "T12 (2 in all splits), L2 (0 in all splits)" in note
        assert "L1" not in note


def test_selects_the_records_of_a_split(tmp_path):
    pairs = [make_case(f"c{i}", f"p{i}", split) for i, split in enumerate(["train", "test"] * 2)]
    cases, records = zip(*pairs)
    splits = assign(cases, records, tmp_path / "s.csv")
    assert splits.select(records, "test") == (records[1], records[3])
    assert splits.select(records, "validation") == ()


def test_cases_that_could_not_be_used_are_no_change_of_the_data_set(tmp_path):
    """A damaged file stays in the manifest: it neither draws anew nor counts as gone."""
    cases, records = make_cohort(10)
    first = assign(cases, records, tmp_path / "s.csv")
    again = assign(cases, records[1:], tmp_path / "s.csv")
    assert again.split_of == first.split_of


EDITS = {
    "a patient in two splits": (lambda t: t.replace("7-1,p7,train", "7-1,p7,test"), "two splits"),
    "a case twice": (lambda t: t + t.splitlines()[-1], "there twice"),
    "an unknown split": (lambda t: t.replace(",train,", ",training,"), "split 'training'"),
    "a missing column": (lambda t: t.replace("patient_id", "patient"), "no column patient_id"),
    "a fold outside train": (lambda t: t.replace("9-0,p9,test,", "9-0,p9,test,1"), "fold '1'"),
    "another patient": (lambda t: t.replace("2-0,p2", "2-0,p99"), "patient 'p99'"),
    "a case that is new": (lambda t: t.replace("2-0,p2,train,\n", ""), "new: 2-0.*delete the file"),
    "a case that is gone": (lambda t: t + "x,x,train,\n", "gone: x.*delete the file"),
    "against the manifest": (lambda t: t.replace("9-0,p9,test", "9-0,p9,train"), "manifest puts"),
    "no text": (lambda t: "", "no column"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_file_that_does_not_fit_is_named_with_its_remedy(tmp_path, edit):
    change, message = EDITS[edit]
    cases, records = make_cohort(10)
    cases = [dataclasses.replace(c, split="test" * (c.patient_id == "p9")) for c in cases]
    path = tmp_path / "splits.csv"
    assign(cases, records, path, validation=0.0)
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    with pytest.raises(UserError, match=message) as error:
        assign(cases, records, path, validation=0.0)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("before", [0, 3])
def test_another_number_of_folds_is_refused(tmp_path, before):
    cases, records = make_cohort(12)
    assign(cases, records, tmp_path / "s.csv", folds=before)
    with pytest.raises(UserError, match=r"folds=4.*delete the file"):
        assign(cases, records, tmp_path / "s.csv", folds=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": 1.0}, r"split\.test=1\.0"),
        ({"validation": -0.1}, r"split\.validation=-0\.1"),
        ({"validation": 0.5, "test": 0.5}, "no patient to train on"),
        ({"folds": 1}, "folds=1"),
        ({"folds": 3, "fold": 3}, "fold=3: expected 0 to 2"),
        ({"folds": 9}, "only 3 patients"),
    ],
)
def test_impossible_settings(tmp_path, changes, message):
    cases, records = make_cohort(4)
    with pytest.raises(UserError, match=message):
        assign(cases, records, tmp_path / "s.csv", **changes)
    assert not (tmp_path / "s.csv").exists()


def test_two_patients_are_too_few_for_three_splits(tmp_path):
    cases, records = make_cohort(2)
    with pytest.raises(UserError, match="too few"):
        assign(cases, records, tmp_path / "s.csv")


def test_a_patient_in_two_splits_of_the_manifest(tmp_path):
    pairs = [make_case("a", "p", "train"), make_case("b", "p", "test")]
    cases, records = zip(*pairs)
    with pytest.raises(UserError, match="patient 'p'"):
        assign(cases, records, tmp_path / "s.csv")


@given(st.data())
@hypothesis_settings(max_examples=40, deadline=None)
def test_sizes_are_exact_and_the_fixed_stay(data):
    n, parts = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 4))
    place = data.draw(st.lists(st.integers(0, parts - 1), min_size=n, max_size=n))
    keep = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    traits = rng.integers(0, 3, (n, 5)) * rng.integers(0, 2, (n, 5))
    sizes, fixed = np.bincount(place, minlength=parts), np.where(keep, place, -1)
    found = stratify(traits, sizes, fixed, rng)
    np.testing.assert_array_equal(np.bincount(found, minlength=parts), sizes)
    np.testing.assert_array_equal(found[keep], np.array(place)[keep])


def test_a_perfect_division_is_found():
    """Four patients of each of three kinds, to be halved: two of each kind on either side."""
    traits = np.repeat(np.eye(3, dtype=int), 4, axis=0)
    found = stratify(traits, np.array([6, 6]), np.full(12, -1), np.random.default_rng(0))
    held = np.stack([traits[found == part].sum(0) for part in (0, 1)])
    np.testing.assert_array_equal(held, 2)
    np.testing.assert_array_equal(imbalance(held, np.full((2, 3), 2.0)), 0)
