"""Patients spelled in several ways."""

import pytest

from tests.audit.data_set import SETTINGS, audit, write_case
from tests.crops.test_splits import assign, make_case, make_cohort
from tests.data.test_cases import manifest
from vfseg.audit.audit import audit_cases
from vfseg.audit.cohort import examine_cohort
from vfseg.data.discovery import find_cases
from vfseg.data.patients import is_about_patients, person, spelled_twice

SAME = [
    ("P01", "p01"),
    ("1", "1.0"),
    ("007", "7"),
    ("P01", "\uff30\uff10\uff11"),
    ("P 01", "p01"),
    ("sub-003", "sub-3"),
    ("sub-verse014", "verse014"),
    ("SUB-007", "7"),
    ("12", "12.00"),
]
OTHERS = [
    ("P01", "P10"),
    ("7", "70"),
    ("1.5", "1"),
    ("1.0", "10"),
    ("a1", "a"),
    ("0", ""),
    ("sub-", ""),
    ("sub-1", "sub1"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_name(one, other):
    assert person(one) == person(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_other_names(one, other):
    assert person(one) != person(other)


def test_what_is_said():
    placed = [("P01", "train"), ("q", "train"), ("p01", "validation"), ("P01", "train")]
    (note,) = spelled_twice(placed)
    assert note.startswith("P01 and p01: one patient? in train and validation.")
    assert is_about_patients(note)
    (note,) = spelled_twice([("7", ""), ("07", "")])
    assert note == "7 and 07: one patient? Write the name in one way."
    assert list(spelled_twice([("7", "train"), ("7", "train"), ("8", "test")])) == []


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_manifest_is_warned_of(one, other, tmp_path):
    path = manifest(tmp_path, f"a,{one},a.nii.gz,,,,,train", f"b,{other},b.nii.gz,,,,,test")
    cases, notes = find_cases(path)
    assert len(cases) == 2, "what the manifest says is done"
    (note,) = notes
    assert "one patient? in train and test" in note
    findings = audit_cases((), SETTINGS, False, left_out=notes).findings
    (finding,) = [f for f in findings if f.message == note]
    assert (finding.severity, finding.kind) == ("warning", "leak")


def test_folders_are_warned_of(tmp_path):
    for name in ("sub-01", "sub-1"):
        (tmp_path / f"{name}_ct.nii.gz").touch()
    _, notes = find_cases(tmp_path)
    assert sum(map(is_about_patients, notes)) == 1


@pytest.mark.parametrize(("one", "other"), SAME)
@pytest.mark.parametrize("folds", [0, 3])
def test_the_split_does_not_divide_them(one, other, folds, tmp_path):
    pairs = [make_case(f"x{i}", name) for i, name in enumerate([one, other] * 3)]
    pairs += [make_case(f"y{i}", f"someone{i}") for i in range(9)]
    cases, records = zip(*pairs)
    for seed in range(5):
        splits = assign(cases, records, tmp_path / f"{seed}.csv", seed=seed, folds=folds)
        places = {(splits.split_of[f"x{i}"], splits.fold_of.get(f"x{i}")) for i in range(6)}
        assert len(places) == 1


def test_a_spelling_without_a_split_follows_the_other(tmp_path):
    pairs = [make_case("a", "P01", "test"), make_case("b", "p1"), make_case("c", "q", "validation")]
    pairs += [make_case(f"y{i}", f"someone{i}") for i in range(6)]
    cases, records = zip(*pairs)
    splits = assign(cases, records, tmp_path / "s.csv")
    assert splits.split_of["b"] == "test"


def test_what_the_manifest_says_of_each_spelling_is_done(tmp_path):
    pairs = [make_case("a", "P01", "train"), make_case("b", "p01", "validation")]
    pairs += [make_case("c", "q", "test")]
    cases, records = zip(*pairs)
    splits = assign(cases, records, tmp_path / "s.csv")
    assert splits.split_of == {"a": "train", "b": "validation", "c": "test"}


def test_without_double_spellings_nothing_is_drawn_otherwise(tmp_path, monkeypatch):
    """The same as where every name stands for itself."""
    cases, records = make_cohort()
    now = assign(cases, records, tmp_path / "now.csv").split_of
    monkeypatch.setattr(
        "vfseg.crops.split_sizes.by_person", lambda names: [[name] for name in names]
    )
    assert assign(cases, records, tmp_path / "then.csv").split_of == now


def test_one_image_of_one_patient_in_two_spellings_is_a_double_and_no_leak(tmp_path):
    cases = [
        write_case(tmp_path, "a", seed=1, patient="P01"),
        write_case(tmp_path, "b", seed=1, patient="p1"),
    ]
    result = audit(*cases)
    (found,) = [f for f in examine_cohort(result.cases, {}, (), 0.0) if f.kind == "duplicate"]
    assert found.severity == "warning"
