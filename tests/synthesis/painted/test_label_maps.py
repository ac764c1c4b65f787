"""Which label maps a folder holds, whose they are, and what is known of them."""

import pytest

from tests.synthesis.painted.made_spine import label_map
from vfseg.data.outputs import FACTS, NOTE
from vfseg.data.volume import mask_writer, write_labels
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
        "c": "c",
    }
    assert found["sub-verse004"].grades == {"L1": 3, "L2": 0}
    assert found["sub-verse010_ses-2"].grades == {}
    assert found["verse005"].grades == {}
    assert found["verse005"].path == folder / "a" / "verse005_vertebrae.nii.gz"


@pytest.mark.parametrize(
    ("layout", "wanted"),
    [
        ("0001/labels.nii.gz 0002/labels.nii.gz", "0001 0002"),
        ("p07/vertebrae.nii.gz p08/vertebrae.nii", "p07 p08"),
        ("s0001/segmentations/vertebrae_L1.nii.gz s0002/segmentations/vertebrae_L1.nii.gz",
         "s0001 s0002"),
        ("a/ct_seg.nii.gz b/totalseg/spine-label.nii.gz", "a b"),
        ("labels/7.nii.gz labels/8.nii.gz", "7 8"),
        ("sub-1/ses-2/vertebrae.nii.gz sub-1/ses-3/vertebrae.nii.gz", "sub-1_ses-2 sub-1_ses-3"),
        ("P 7/vertebrae.nii.gz totalseg-s0327_vertebrae.nii.gz", "P_7 totalseg-s0327"),
    ],
)  # fmt: skip
def test_where_a_file_names_nobody_its_folder_does(tmp_path, layout, wanted):
    for name in layout.replace("P 7", "P?7").split():
        place = tmp_path / "maps" / name.replace("?", " ")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    found = find_label_maps(tmp_path / "maps")
    assert [m.name for m in found] == wanted.split()
    people = [m.patient_id for m in found]
    assert people == [n.split("_ses-")[0].replace("P_7", "P 7") for n in wanted.split()]


@pytest.mark.parametrize("folder", ["s0001", "s0001/segmentations"])
def test_a_folder_of_masks_may_be_named_itself(tmp_path, monkeypatch, folder):
    masks = tmp_path / folder
    masks.mkdir(parents=True)
    (masks / "vertebrae_L1.nii.gz").touch()
    for path in (masks, tmp_path / "s0001"):
        (found,) = find_label_maps(path)
        assert (found.name, found.patient_id, found.path) == ("s0001", "s0001", masks)
    monkeypatch.chdir(masks)
    (found,) = find_label_maps(".")
    assert found.name == "s0001"
    (tmp_path / "other" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "other" / "below")
    (found,) = find_label_maps(f"../../{folder}")
    assert found.name == "s0001"


def test_what_this_program_wrote_is_no_label_map(folder):
    """A cohort that is whole, a case of one that is not, and a map of results under any name."""
    before = find_label_maps(folder)
    made = label_map(spacing=(6.0, 6.0, 6.0))
    for case in ("run/cohort/cases/x", "run/cohort/cases/half", "stopped/cases/y"):
        write_labels(folder / case / "vertebrae.nii.gz", made.array, made.geometry)
    for case in ("run/cohort/cases/x", "stopped/cases/y"):
        (folder / case / FACTS).write_text("{}")
    (folder / "run" / "cohort" / "manifest.csv").touch()
    with mask_writer(folder / "out" / "p1_vertebrae.nii.gz", made.geometry, NOTE) as write:
        write(made.array)
    assert find_label_maps(folder) == before


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
