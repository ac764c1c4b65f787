"""Tables of grades."""

import pytest

from vfseg.data.cases import Case
from vfseg.data.grades import graded_subjects, grades_of, read_grades
from vfseg.errors import UserError


def table(folder, *lines):
    path = folder / "grades.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def test_names_and_numbers(tmp_path):
    assert read_grades(table(tmp_path, "vertebra,genant_grade", "T4,0", "l5,3", "T12,")) == {
        "T4": 0,
        "L5": 3,
    }
    # VerSe: T12 is 19 and L1 is 20; TotalSegmentator v2: L5 is 27 and C7 is 44.
    assert read_grades(table(tmp_path, "verse_label,grade", "19,1", "20,2")) == {"T12": 1, "L1": 2}
    both = table(tmp_path, "totalsegmentator_label,grade,note", "27,1,x", "44,0,")
    assert read_grades(both) == {"L5": 1}


def test_subjects(tmp_path):
    path = table(tmp_path, "subject,vertebra,genant_grade", "a,L1,1", "b,L1,2", "b,L2,0")
    assert graded_subjects(path) == ("a", "b")
    assert read_grades(path, "b") == {"L1": 2, "L2": 0}
    assert graded_subjects(table(tmp_path, "level,grade", "L1,1")) == ()
    assert graded_subjects(table(tmp_path, "id,x0,x1", "1,2,3")) is None
    assert graded_subjects(tmp_path / "no.csv") is None


@pytest.mark.parametrize("asked", ["P01", "p1", "P 001"])
def test_a_subject_is_found_in_any_spelling(tmp_path, asked):
    path = table(tmp_path, "subject,vertebra,genant_grade", "P2,L1,3", "p01,L1,1")
    assert read_grades(path, asked) == {"L1": 1}
    for case in (Case(asked, "x", tmp_path), Case("x", asked, tmp_path)):
        assert grades_of(case, path) == {"L1": 1}


def test_its_own_spelling_goes_before_others(tmp_path):
    path = table(tmp_path, "subject,vertebra,genant_grade", "P1,L1,1", "P01,L1,2")
    assert read_grades(path, "P01") == {"L1": 2}
    with pytest.raises(UserError, match="a second grade of L1"):
        read_grades(path, "p001")


BAD = {
    "no grade column": (["vertebra,fracture", "L1,1"], None, "expected genant_grade"),
    "no vertebra column": (["genant_grade", "1"], None, "expected genant_grade, and vertebra"),
    "empty": ([""], None, "expected genant_grade"),
    "two subjects": (["subject,level,grade", "a,L1,1", "b,L1,1"], None, "2 subjects"),
    "other subject": (["subject,level,grade", "a,L1,1"], "b", "no grade of b"),
    "unknown vertebra": (["level,grade", "X1,1"], None, "line 2: level 'X1'"),
    "unknown number": (["verse_label,grade", "99,1"], None, "line 2: verse_label '99'"),
    "doubled": (["level,grade", "L1,1", "L1,"], None, "line 3: a second grade of L1"),
    "grade of 4": (["level,grade", "L1,4"], None, "line 2: grade '4' of L1"),
    "contradiction": (
        ["verse_label,level,grade", "20,L2,1"],
        None,
        r"level L2 \(L2\), verse_label 20 \(L1\) are different",
    ),
    "short line": (["level,grade", "L1"], None, "line 2 has 1 cell,"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_named(name, tmp_path):
    lines, subject, message = BAD[name]
    path = table(tmp_path, *lines)
    with pytest.raises(UserError, match=message) as caught:
        read_grades(path, subject)
    assert str(path) in str(caught.value)


def test_real_tables(real_ct_root):
    path = real_ct_root / "graded-masks/genant_grades.csv"
    graded = read_grades(path, "sub-verse004")
    assert {level: grade for level, grade in graded.items() if grade} == {
        "T9": 2,
        "T10": 2,
        "L1": 3,
    }
    assert len(graded) == 7  # L4 and L5 have no published grade
    assert read_grades(real_ct_root / "verse014/genant_grades.csv") == dict.fromkeys(
        ("L1", "L2", "L3", "L4", "L5"), 0
    )
