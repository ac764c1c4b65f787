"""What the program wrote is not taken for what a user gives."""

import shutil

import numpy as np
import pytest

from tests.audit.data_set import AFFINE, SHAPE, write_case
from tests.data.nifti_files import write_probability
from tests.data.test_discovery import lay_out
from vfseg.data.cases import write_manifest
from vfseg.data.discovery import find_cases
from vfseg.data.geometry import geometry_from
from vfseg.data.outputs import FACTS, NOTE, OUTSIDE_TRAINING, is_own_cohort, is_own_file
from vfseg.data.volume import mask_writer, probability_writer
from vfseg.errors import UserError
from vfseg.evaluation.lists import LESION_COLUMNS, VERTEBRA_COLUMNS
from vfseg.files import write_table

GEOMETRY = geometry_from(SHAPE[::-1], AFFINE)


def write_results(folder):
    """What a prediction leaves in a folder, besides pictures."""
    for name in ("probability", "uncertainty", "a_ct"):
        with probability_writer(folder / f"{name}.nii.gz", GEOMETRY, NOTE) as write:
            write(np.zeros(SHAPE, np.float32))
    with mask_writer(folder / "mask.nii.gz", GEOMETRY, f"{NOTE}; trained on ...") as write:
        write(np.zeros(SHAPE, np.uint8))
    row = dict.fromkeys(VERTEBRA_COLUMNS) | {"case_id": "p1", "level": "L1", "genant": 2}
    write_table(folder / "vertebrae.csv", [row])
    write_table(folder / "lesions.csv", [], LESION_COLUMNS)


@pytest.fixture
def cases(tmp_path):
    """A folder with one case, p1."""
    case = write_case(tmp_path, "p1")
    for role in ("vertebrae", "fractures"):
        path = getattr(case, role)
        shutil.move(path, path.with_name(f"{role}.nii.gz"))
    return tmp_path


@pytest.mark.parametrize(
    "where", ["results/p1", "p1/results", "p1", "fractures", "run/predictions/p1"]
)
def test_results_among_the_cases_change_nothing(cases, where):
    before, _ = find_cases(cases)
    write_results(cases / where)
    after, notes = find_cases(cases)
    assert after == before
    assert [case.case_id for case in after] == ["p1"]
    (note,) = notes
    assert note.startswith("written by this program, not looked at: ")
    assert f"{where}/uncertainty.nii.gz" in note


def test_results_under_other_names(cases):
    """As people rename them: a header and a first line tell."""
    write_results(cases / "p1")
    (cases / "p1" / "uncertainty.nii.gz").rename(cases / "scan7.nii.gz")
    (cases / "p1" / "vertebrae.csv").rename(cases / "p1" / "genant.csv")
    (case,), _ = find_cases(cases)
    assert case.case_id == "p1"
    assert case.grades is None


def test_lists_of_before_there_was_that_column(cases):
    columns = [name for name in VERTEBRA_COLUMNS if name != OUTSIDE_TRAINING]
    write_table(cases / "p1" / "v.csv", [dict.fromkeys(columns) | {"level": "L1", "genant": 1}])
    assert is_own_file(cases / "p1" / "v.csv")
    (case,), _ = find_cases(cases)
    assert case.grades is None


def test_tables_of_the_user_stay_grades(cases):
    lay_out(cases, "p1/grades.csv:level,genant|L1,2")
    (case,), notes = find_cases(cases)
    assert case.grades == cases / "p1/grades.csv"
    assert notes == ()


def test_synthetic_cohorts_below_are_not_searched(cases):
    cohort = cases / "run" / "virtual_cohort"
    made = write_case(cohort / "cases", "p1_000")
    (made.ct.parent / FACTS).write_text("{}")
    write_manifest(cohort / "manifest.csv", [made])
    assert is_own_cohort(cohort)
    found, notes = find_cases(cases)
    assert [case.case_id for case in found] == ["p1"]
    assert "run/virtual_cohort" in notes[0]
    # Named itself, it is a data set like any other.
    assert [case.case_id for case in find_cases(cohort)[0]] == ["p1_000"]


def test_a_folder_of_results_holds_no_case(tmp_path):
    write_results(tmp_path / "out" / "p1")
    with pytest.raises(UserError, match=r"no case found(.|\n)*written by this program"):
        find_cases(tmp_path / "out")


def test_other_maps_are_not_the_program_s(tmp_path):
    write_probability(tmp_path / "a_ct.nii.gz", np.zeros(SHAPE, np.float32), GEOMETRY)
    assert not is_own_file(tmp_path / "a_ct.nii.gz")
    for name, text in {"b.nii.gz": "text", "c.csv": "", "d.txt": OUTSIDE_TRAINING}.items():
        (tmp_path / name).write_text(text)
        assert not is_own_file(tmp_path / name)
    assert is_own_file(tmp_path / "no.nii.gz") is False
