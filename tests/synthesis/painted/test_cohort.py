"""Painted cases on disk: made, kept, made again, left out."""

import csv
import json
import os

import numpy as np
import pytest

from tests.synthesis.painted.made_spine import label_map
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.discovery import find_cases
from vfseg.data.volume import read_ct, read_labels, write_labels
from vfseg.errors import UserError
from vfseg.synthesis.painted import PaintedSettings, make_painted_cohort


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    made = label_map(spacing=(2.0, 1.6, 1.6))
    write_labels(folder / "p1_vertebrae.nii.gz", made.array, made.geometry)
    write_labels(folder / "odd_vertebrae.nii.gz", 0 * made.array, made.geometry)
    (folder / "grades.csv").write_text("subject,vertebra,genant_grade\np1,L4,3\n")
    return folder


def settings(maps, **changes):
    values = {"variants": 2, "seed": 4, "fracture_probability": 0.9, "vertebra_scheme": "verse"}
    return PaintedSettings(label_maps=str(maps), **{**values, **changes})


@pytest.fixture(scope="module")
def made(maps, tmp_path_factory):
    directory = tmp_path_factory.mktemp("painted")
    return directory, make_painted_cohort(directory, settings(maps), progress=False)


def test_cases_are_of_their_patient_and_read_back(made):
    _, manifest = made
    cases = find_cases(manifest)[0]
    assert [c.case_id for c in cases] == ["p1_painted_000", "p1_painted_001"]
    assert {(c.patient_id, c.split) for c in cases} == {("p1", "")}
    for case in cases:
        facts = json.loads((case.ct.parent / "facts.json").read_text())
        assert facts["source"] == "p1"
        assert facts["left_out"] == {"L4": "Genant grade 3"}
        ct, labels, mask = (
            read_ct(case.ct),
            read_labels(case.vertebrae),
            read_labels(case.fractures),
        )
        assert ct.shape == labels.shape == mask.shape
        reading = read_vertebrae(labels, "verse", case.case_id)
        levels = {v.level for v in reading.vertebrae}
        assert levels <= {"L2", "L3"}
        instances = {i for v in facts["vertebrae"] for i in v["instances"]}
        assert set(np.unique(mask.array)) == {0, *instances}
        with open(case.grades) as file:
            graded = {row["vertebra"]: int(row["genant_grade"]) for row in csv.DictReader(file)}
        assert graded.keys() <= {"L2", "L3"}
        for vertebra in facts["vertebrae"]:
            fracture = vertebra["fracture"]
            assert graded[vertebra["level"]] == (fracture["grade"] if fracture else 0)


def test_what_stands_is_kept_and_what_is_damaged_is_made_again(made, maps):
    directory, manifest = made
    first, second = (case.ct.parent for case in find_cases(manifest)[0])
    whole = (second / "ct.nii.gz").read_bytes()
    kept = os.stat(first / "facts.json").st_mtime_ns
    (second / "ct.nii.gz").write_bytes(b"half")
    make_painted_cohort(directory, settings(maps), progress=False)
    assert os.stat(first / "facts.json").st_mtime_ns == kept
    assert (second / "ct.nii.gz").read_bytes() == whole


def test_maps_of_which_none_can_be_painted_are_named(maps, tmp_path):
    empty = tmp_path / "maps" / "odd_vertebrae.nii.gz"
    empty.parent.mkdir()
    empty.write_bytes((maps / "odd_vertebrae.nii.gz").read_bytes())
    with pytest.raises(UserError, match=r"no label map can be painted:\n  odd: .*empty"):
        make_painted_cohort(tmp_path / "out", settings(empty.parent), progress=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("label_maps", 3),
        ("variants", 0),
        ("seed", -1),
        ("fracture_probability", 1.5),
        ("fracture_rates", "often"),
        ("vertebra_scheme", "mine"),
    ],
)
def test_wrong_settings_are_named(name, value):
    with pytest.raises(UserError, match=rf"config\.painted\.{name}="):
        PaintedSettings(**{name: value})
