"""Grades against the fracture mask."""

import dataclasses

from tests.audit.data_set import audit, found, kinds, sheet, write_case


def test_grades_are_compared_with_the_mask(tmp_path):
    case = write_case(tmp_path, "a", fractures=sheet("L1") + sheet("L2", 2))
    table = tmp_path / "grades.csv"
    case = dataclasses.replace(case, grades=table)
    table.write_text("case_id,vertebra,grade\na,L1,0\na,L2,1\na,L3,2\na,T12,3\nb,L2,0\n")
    odd = {f.level: f for f in audit(case).findings if f.kind == "grade"}
    assert {f.severity for f in odd.values()} == {"warning"}
    assert set(odd) == {"L1", "L3"}  # T12 is not in the CT
    assert "grade 0, but 288 voxels" in odd["L1"].message  # 2 x 12 x 12
    assert "grade 2, but no voxel" in odd["L3"].message
    table.write_text("vertebra,grade\nL1,3\nL2,\nL3,0\n")
    assert "grade" not in kinds(audit(case), "error", "warning", "note")


def test_grades_that_cannot_be_read_are_an_error(tmp_path):
    case = dataclasses.replace(write_case(tmp_path, "a"), grades=tmp_path / "grades.csv")
    case.grades.write_text("vertebra,grade\nL1,4\n")
    finding = found(audit(case), "grades", "error")
    assert finding.case_id == "a"
    assert str(case.grades) in finding.message
