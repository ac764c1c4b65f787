"""Suggested grades beside known ones: of phantoms, and published."""

import json

import pytest

from benchmarks.studies import genant
from vfseg.errors import UserError


def test_phantoms_get_their_grade_within_one():
    graded, errors = genant.of_phantoms(2)
    assert len(graded) == 10
    assert all(abs(v.known - v.loss.grade) <= 1 for v in graded)
    assert max(errors["height_error_absolute_mm"].values()) < 1
    assert errors["loss_error_absolute"] < 0.1  # one of them has slices of 2 mm, its bodies 20 mm


def test_published_grades_are_met_within_one(real_ct_root, tmp_path, capsys):
    figures = tmp_path / "figures.json"
    folders = [str(real_ct_root / name) for name in ("graded-masks", "verse014")]
    flags = ["--phantoms", "0", "--json", str(figures), "--graded-masks", *folders]
    assert genant.main(flags) == 0
    found = json.loads(figures.read_text())["published"]
    assert (found["vertebrae"], found["known_2_or_3"], found["known_0"]) == (17, 4, 13)
    assert found["within_one"] == 17
    assert found["healthy_as_0"] == 13
    assert found["found_as_1_or_more"] == 4
    assert f"exact {found['exact']}/17" in capsys.readouterr().out


def test_a_folder_without_grades_or_map_is_said_to_lack_them(tmp_path):
    with pytest.raises(UserError, match="no table of grades"):
        genant.of_folder(tmp_path)
    (tmp_path / "grades.csv").write_text("subject,vertebra,genant_grade\nsomeone,L1,2\n")
    with pytest.raises(UserError, match=r"0 label maps someone\*vert\*.nii.gz"):
        genant.of_folder(tmp_path)
