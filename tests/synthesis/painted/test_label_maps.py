"""Which label maps a folder holds, whose they are, and what is known of them."""

import pytest

from tests.synthesis.painted.made_spine import label_map
from vfseg.data.volume import write_labels
from vfseg.errors import UserError
from vfseg.synthesis.painted.label_maps import find_label_maps

GRADES = "subject,vertebra,genant_grade\n"


@pytest.fixture
def folder(tmp_path):
    made = label_map(spacing=(6.0, 6.0, 6.0))
    for name in (
        "a/verse005_vertebrae.nii.gz",
        "b/sub-verse004_seg-vert_msk.nii.gz",
        "b/sub-verse004_seg-subreg_msk.nii.gz",
        "b/sub-verse010_ses-2_seg-vert_msk.nii.gz",
        "c/total_segmentations/vertebrae_L3.nii.gz",
    ):
        write_labels(tmp_path / name, made.array, made.geometry)
    (tmp_path / "b" / "grades.csv").write_text(
        GRADES + "sub-verse004,L1,3\nsub-verse004,L2,0\nverse011,L3,2\n"
    )
    return tmp_path


def test_maps_are_known_by_name_and_belong_to_patients(folder):
    found = {m.name: m for m in find_label_maps(folder)}
    assert {name: m.patient_id for name, m in found.items()} == {
        "verse005": "verse005",
        "sub-verse004": "sub-verse004",
        "sub-verse010_ses-2": "sub-verse010",
        "total_segmentations": "total_segmentations",
    }
    assert found["sub-verse004"].grades == {"L1": 3, "L2": 0}
    assert found["sub-verse010_ses-2"].grades == {}
    assert found["verse005"].grades == {}
    assert found["verse005"].path == folder / "a" / "verse005_vertebrae.nii.gz"


def test_a_table_that_names_nobody_is_of_the_map_beside_it(folder):
    (folder / "a" / "grades.csv").write_text("vertebra,genant_grade\nL3,1\n")
    found = {m.name: m for m in find_label_maps(folder)}
    assert found["verse005"].grades == {"L3": 1}


def test_the_fingerprint_tells_another_map_or_other_grades(folder):
    def fingerprints(shaping=1):
        return {m.name: m.fingerprint(shaping) for m in find_label_maps(folder)}

    before = fingerprints()
    assert fingerprints() == before
    assert all(fingerprints(2)[name] != mark for name, mark in before.items())
    (folder / "b" / "grades.csv").write_text(GRADES + "sub-verse004,L1,2\n")
    other = label_map(spacing=(7.0, 6.0, 6.0))
    write_labels(folder / "a" / "verse005_vertebrae.nii.gz", other.array, other.geometry)
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == {"sub-verse004", "verse005"}


def test_what_is_wrong_with_a_folder_is_said(folder, tmp_path):
    with pytest.raises(UserError, match=r"config\.painted\.label_maps=.*no such folder"):
        find_label_maps(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no label map of vertebrae"):
        find_label_maps(tmp_path / "empty")
    made = label_map(spacing=(6.0, 6.0, 6.0))
    write_labels(folder / "d" / "verse005_vertebrae.nii", made.array, made.geometry)
    with pytest.raises(UserError, match="have one name"):
        find_label_maps(folder)
