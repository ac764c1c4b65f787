"""Variants of healthy cases on disk: made, continued, left out."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tests.synthesis.made import make_virtual_cohort
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.data.grades import read_grades
from vfseg.data.volume import read_ct, read_labels, write_ct, write_labels
from vfseg.errors import UserError
from vfseg.synthesis.virtual_fractures import (
    FractureSpec,
    VirtualFractureSettings,
    cohort,
    collapse,
)
from vfseg.synthesis.virtual_fractures.lookalikes import NAMES


@pytest.fixture
def stored(tmp_path, whole):
    ct, labels, *_ = whole
    write_ct(tmp_path / "in" / "ct.nii.gz", ct.array, ct.geometry)
    write_labels(tmp_path / "in" / "labels.nii.gz", labels.array, ct.geometry)
    folder = tmp_path / "in"
    return Case("a", "p", folder / "ct.nii.gz", folder / "labels.nii.gz", split="train")


SETTINGS = {"variants": 2, "seed": 4, "vertebra_scheme": "verse"}


def test_cohort_continues_and_is_the_same(stored, tmp_path):
    manifest = make_virtual_cohort([stored], tmp_path / "one", SETTINGS, progress=False)
    cases = find_cases(manifest)[0]
    assert [c.case_id for c in cases] == ["a_000", "a_001"]
    assert {(c.patient_id, c.split) for c in cases} == {("p", "train")}
    voxels = [read_ct(c.ct).array for c in cases]
    assert (voxels[0] != voxels[1]).any()
    for case in cases:
        facts = json.loads((case.ct.parent / "facts.json").read_text())
        assert facts["scheme"] == "verse"
        instances = [i for f in facts["fractures"] for i in f["instances"]]
        mask = read_labels(case.fractures).array
        assert instances
        assert set(np.unique(mask)) == {0, *instances}
    # Interrupted before the second was complete: the first is left alone, the second comes again.
    kept, redone = (c.ct.parent / "facts.json" for c in cases)
    stamp = kept.stat().st_mtime_ns
    redone.unlink()
    cases[1].ct.unlink()
    make_virtual_cohort([stored], tmp_path / "one", SETTINGS, progress=False)
    assert kept.stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(read_ct(cases[1].ct).array, voxels[1])
    # A damaged one is made again.
    cases[1].fractures.write_bytes(b"")
    make_virtual_cohort([stored], tmp_path / "one", SETTINGS, progress=False)
    assert kept.stat().st_mtime_ns == stamp
    assert read_labels(cases[1].fractures).array.any()
    # Other settings make all of them again.
    make_virtual_cohort([stored], tmp_path / "one", {**SETTINGS, "seed": 5}, progress=False)
    assert kept.stat().st_mtime_ns != stamp


def test_hard_negatives_are_added_to_the_same_fractures(stored, tmp_path):
    """Of L3 and L4, which have a neighbour above, one is broken; the other gets a look-alike."""
    settings = {**SETTINGS, "variants": 1, "fracture_probability": 0.0}
    made = []
    for share in (0.0, 1.0):
        manifest = make_virtual_cohort(
            [stored], tmp_path / str(share), {**settings, "hard_negatives": share}, progress=False
        )
        made.append(find_cases(manifest)[0])
    for plain, full in zip(*made):
        before, after = (
            json.loads((case.ct.parent / "facts.json").read_text()) for case in (plain, full)
        )
        assert before["fractures"] == after["fractures"]
        assert before["lookalikes"] == []
        (fracture,), (lookalike,) = after["fractures"], after["lookalikes"]
        assert {fracture["level"], lookalike["level"]} == {"L3", "L4"}
        assert lookalike["name"] in NAMES
        np.testing.assert_array_equal(*(read_labels(c.fractures).array for c in (plain, full)))
        assert (read_ct(plain.ct).array != read_ct(full.ct).array).any()
        with open(full.grades) as file:
            grades = {row["vertebra"]: int(row["genant_grade"]) for row in csv.DictReader(file)}
        assert grades[fracture["level"]] == fracture["grade"]
        assert grades[lookalike["level"]] == lookalike["grade"]


def test_the_grade_is_that_of_the_height_that_was_lost(stored, tmp_path, monkeypatch):
    """A collapse no steeper than 0.15 takes less than 0.8 * 0.15 of any body: grade 0."""
    monkeypatch.setattr(collapse, "STEEPEST", 0.15)
    monkeypatch.setattr(cohort, "draw_spec", lambda *_: FractureSpec("crush", 0.45))
    monkeypatch.setattr(cohort, "NAMES", ("old deformity",))
    settings = {**SETTINGS, "variants": 1, "fracture_probability": 0.0, "hard_negatives": 1.0}
    manifest = make_virtual_cohort([stored], tmp_path / "out", settings, progress=False)
    (case,), _ = find_cases(manifest)
    facts = json.loads((case.ct.parent / "facts.json").read_text())
    (fracture,), (lookalike,) = facts["fractures"], facts["lookalikes"]
    assert 0 < fracture["height_loss"] <= 0.8 * 0.15
    assert fracture["spec"]["height_loss"] == 0.45
    assert (fracture["grade"], lookalike["grade"]) == (0, 0)
    assert set(read_grades(case.grades).values()) == {0}


def test_a_case_that_cannot_be_used_is_left_out(stored, tmp_path):
    bare = replace(stored, case_id="bare", vertebrae=None)
    manifest = make_virtual_cohort(
        [bare, stored], tmp_path / "out", {**SETTINGS, "variants": 1}, progress=False
    )
    assert [c.case_id for c in find_cases(manifest)[0]] == ["a_000"]
    with pytest.raises(UserError, match="no vertebra label map"):
        make_virtual_cohort([bare], tmp_path / "none", SETTINGS, progress=False)


def test_marked_vertebrae_are_left_alone(stored, tmp_path):
    labels = read_labels(stored.vertebrae)
    mask = ((labels.array == 22) & ndimage.binary_erosion(labels.array == 22, iterations=5)).astype(
        np.uint8
    )
    write_labels(tmp_path / "in" / "mask.nii.gz", mask, labels.geometry)
    marked = replace(stored, fractures=tmp_path / "in" / "mask.nii.gz")
    settings = {**SETTINGS, "variants": 1, "fracture_probability": 1.0}
    manifest = make_virtual_cohort([marked], tmp_path / "b", settings, progress=False)
    (case,), _ = find_cases(manifest)
    facts = json.loads((case.ct.parent / "facts.json").read_text())
    assert [f["level"] for f in facts["fractures"]] == ["L4"]
    assert 1 in read_labels(case.fractures).array
    assert 1 not in facts["fractures"][0]["instances"]


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match="fracture_rates='often': expected one of uniform"):
        VirtualFractureSettings(fracture_rates="often")
    with pytest.raises(UserError, match=r"hard_negatives=1\.5: expected a number from 0 to 1"):
        VirtualFractureSettings(hard_negatives=1.5)
