import json

import numpy as np
import pytest

from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume, write_labels
from vfseg.errors import UserError
from vfseg.evaluation.truth import instance_voxels, known_grades, known_patterns, read_truth

GEOMETRY = geometry_from((6, 5, 4), np.eye(4))


def case(folder, name, mask):
    path = folder / name / "fractures.nii.gz"
    write_labels(path, mask, GEOMETRY)
    return Case(name, name, folder / name / "ct.nii.gz", fractures=path)


def masks():
    one, two = np.zeros((4, 5, 6), np.uint8), np.zeros((4, 5, 6), np.uint8)
    one[0, 0, :2] = one[3, 4, 4:] = 1
    two[1], two[2] = 1, 2
    return one, two


def test_voxels_are_counted_by_instance():
    parts = masks()[1]
    np.testing.assert_array_equal(instance_voxels(parts), np.bincount(parts.ravel()))
    assert instance_voxels(np.zeros((2, 2, 2), np.uint8)).tolist() == [8]


def test_what_is_missing_or_elsewhere_is_named(tmp_path):
    ct = Volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY)
    one, _ = masks()
    known = case(tmp_path, "known", one)
    np.testing.assert_array_equal(read_truth(known, ct), one)
    with pytest.raises(UserError, match="no fracture mask"):
        read_truth(Case("none", "none", tmp_path), ct)
    other = geometry_from((6, 5, 4), np.diag([1, 1, 2, 1]))
    with pytest.raises(UserError, match="does not lie on the grid"):
        read_truth(known, Volume(ct.array, other))


def test_facts_of_phantoms_and_of_virtual_fractures_give_the_pattern(tmp_path):
    phantom = case(tmp_path, "phantom", masks()[1])
    assert known_patterns(phantom) == {}
    facts = tmp_path / "phantom" / "facts.json"
    burst = {"across_slices": False, "pattern": "burst"}
    ribbon = {"across_slices": True, "pattern": "endplate"}
    drawn = [
        {"fracture": None, "instances": []},
        {"fracture": burst, "instances": [1, 3]},
        {"fracture": ribbon, "instances": [2]},
    ]
    facts.write_text(json.dumps({"vertebrae": drawn}))
    assert known_patterns(phantom) == {1: "burst", 3: "burst", 2: "across slices"}
    facts.write_text(json.dumps({"fractures": [{"spec": burst, "instances": [5]}]}))
    assert known_patterns(phantom) == {5: "burst"}
    for content in ("{", "[]", '{"vertebrae": [{"fracture": {}, "instances": [1]}]}'):
        facts.write_text(content)
        assert known_patterns(phantom) == {}
    for foreign in ({"vertebrae": 3}, {"fractures": [{"spec": burst, "instances": ["1"]}]}):
        facts.write_text(json.dumps(foreign))
        assert known_patterns(phantom) == {}
    assert known_patterns(Case("none", "none", tmp_path)) == {}


def test_grades_are_found_by_case_or_not_at_all(tmp_path, caplog):
    table = tmp_path / "grades.csv"
    table.write_text("subject,vertebra,genant_grade\na,L1,2\nb,L1,0\n")
    graded = Case("a", "p", tmp_path / "ct.nii.gz", grades=table)
    assert known_grades(graded) == {"L1": 2}
    assert known_grades(Case("a", "p", tmp_path / "ct.nii.gz")) == {}
    assert not caplog.records
    assert known_grades(Case("c", "q", tmp_path / "ct.nii.gz", grades=table)) == {}
    assert "c: taken as not graded" in caplog.text
