"""Data sets without a manifest, as they come; files are empty where only names matter."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.data.dicom_series import make_slices, save, series_affine, volume
from vfseg.data.cases import COLUMNS, Case
from vfseg.data.discovery import find_cases
from vfseg.errors import UserError

BOXES = "27, 0, 9, 9, 64, 1, 2, 3, 4, 5, 6,\n"


def lay_out(root, *names):
    """Files by name; names with a text after ':' get it."""
    for name in names:
        name, _, text = name.partition(":")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text.replace("|", "\n"))
    return root


def test_verse(tmp_path):
    """Raw data and derivatives apart, two CTs of one patient, companions that are not needed."""
    lay_out(
        tmp_path,
        "rawdata/sub-verse500/sub-verse500_dir-ax_ct.nii.gz",
        "rawdata/sub-verse500/sub-verse500_dir-sag_ct.nii.gz",
        "derivatives/sub-verse500/sub-verse500_dir-ax_seg-vert_msk.nii.gz",
        "derivatives/sub-verse500/sub-verse500_dir-sag_seg-vert_msk.nii.gz",
        "derivatives/sub-verse500/sub-verse500_dir-ax_seg-subreg_ctd.json",
        "derivatives/sub-verse500/sub-verse500_dir-ax_seg-vert_snp.png",
        "derivatives/sub-verse500/sub-verse500_dir-ax_seg-frac_msk.nii.gz",
        "derivatives/grades.csv:subject,vertebra,genant_grade|sub-verse500,L1,2",
        "dataset_description.json",
    )
    cases, notes = find_cases(tmp_path)
    raw = tmp_path / "rawdata/sub-verse500"
    derived = tmp_path / "derivatives/sub-verse500"
    grades = tmp_path / "derivatives/grades.csv"
    assert cases == (
        Case(
            "sub-verse500_dir-ax",
            "sub-verse500",
            raw / "sub-verse500_dir-ax_ct.nii.gz",
            derived / "sub-verse500_dir-ax_seg-vert_msk.nii.gz",
            fractures=derived / "sub-verse500_dir-ax_seg-frac_msk.nii.gz",
            grades=grades,
        ),
        Case(
            "sub-verse500_dir-sag",
            "sub-verse500",
            raw / "sub-verse500_dir-sag_ct.nii.gz",
            derived / "sub-verse500_dir-sag_seg-vert_msk.nii.gz",
            grades=grades,
        ),
    )
    assert notes == ()


def test_bids_leftovers_are_reported(tmp_path):
    lay_out(
        tmp_path,
        "sub-1_ct.nii.gz",
        "sub-2_seg-vert_msk.nii.gz",
        "sub-3_T1w.nii.gz",
        "a/sub-4_ct.nii.gz",
        "b/sub-4_ct.nii.gz",
        "sub-4_seg-vert_msk.nii.gz",
    )
    cases, notes = find_cases(tmp_path)
    assert [case.case_id for case in cases] == ["sub-1"]
    text = "\n".join(notes)
    assert "sub-2_seg-vert_msk.nii.gz: belongs to no CT" in text
    assert "do not say what they are (a CT, vertebrae, fractures?): sub-3_T1w.nii.gz" in text
    assert "sub-4_seg-vert_msk.nii.gz: fits 2 CTs" in text
    assert "a/sub-4_ct.nii.gz: left out, its name is not unique" in text
    assert "sub-1: neither a label map" in text


def test_paired_by_case_number(tmp_path):
    """Names and leading zeros differ; a number that all share (the spacing) tells nothing."""
    lay_out(
        tmp_path,
        "ct/CT_007_1.25mm.nii.gz",
        "ct/CT_012_1.25mm.nii.gz",
        "ct/CT_001_1.25mm.nii.gz",
        "masks/fracture7.nii.gz",
        "masks/fracture12.nii.gz",
        f"boxes/cut_li7.txt:{BOXES}",
        f"boxes/cut_li12.txt:{BOXES}",
        f"boxes/cut_li99.txt:{BOXES}",
    )
    cases, notes = find_cases(tmp_path)
    assert [
        (c.ct.name, c.boxes and c.boxes.name, c.fractures and c.fractures.name) for c in cases
    ] == [
        ("CT_001_1.25mm.nii.gz", None, None),
        ("CT_007_1.25mm.nii.gz", "cut_li7.txt", "fracture7.nii.gz"),
        ("CT_012_1.25mm.nii.gz", "cut_li12.txt", "fracture12.nii.gz"),
    ]
    assert [case.case_id for case in cases] == ["001_1.25mm", "007_1.25mm", "012_1.25mm"]
    assert notes == (
        "boxes/cut_li99.txt: belongs to no CT, not used",
        "001_1.25mm: neither a label map of the vertebrae nor boxes; a prediction finds them",
        "without a manifest or BIDS names, each CT counts as a patient of its own",
    )


@pytest.mark.parametrize("labels", ["vertebrae", "labelsTr", "Segmentations"])
@pytest.mark.parametrize("fractures", ["fractures", "fx_masks", "lesion_segmentations"])
def test_folders_tell_what_files_of_one_name_are(tmp_path, fractures, labels):
    for name in ("7", "12"):
        lay_out(
            tmp_path,
            f"ct/{name}.nii.gz",
            f"{fractures}/{name}.nii.gz",
            f"{labels}/{name}.nii.gz",
            f"cut_li{name}.txt:{BOXES}",
        )
    cases, notes = find_cases(tmp_path)
    assert cases == tuple(
        Case(
            name,
            name,
            tmp_path / f"ct/{name}.nii.gz",
            tmp_path / labels / f"{name}.nii.gz",
            tmp_path / f"cut_li{name}.txt",
            tmp_path / fractures / f"{name}.nii.gz",
        )
        for name in ("12", "7")
    )
    assert len(notes) == 1  # each CT a patient of its own


def test_nnunet(tmp_path):
    """Images with the number of their channel, labels without."""
    for name in ("spine_007", "spine_012", "anna"):
        lay_out(tmp_path, f"imagesTr/{name}_0000.nii.gz", f"labelsTr/{name}.nii.gz")
    lay_out(tmp_path, "dataset.json:{}")
    cases, _ = find_cases(tmp_path)
    assert [(c.ct.name, c.vertebrae and c.vertebrae.name) for c in cases] == [
        (f"{name}_0000.nii.gz", f"{name}.nii.gz") for name in ("anna", "spine_007", "spine_012")
    ]


def test_equal_names_go_before_shared_numbers(tmp_path):
    for name in ("7_a", "7_b"):
        lay_out(tmp_path, f"ct/{name}.nii.gz", f"fractures/{name}.nii.gz")
    cases, _ = find_cases(tmp_path)
    assert [case.fractures.name for case in cases] == ["7_a.nii.gz", "7_b.nii.gz"]


@pytest.mark.parametrize(
    "mask",
    [
        "1_mask.nii.gz",  # of vertebrae or of fractures
        "ct/1_mask.nii.gz",
        "masks/1.nii.gz",
        "bodies/1.nii.gz",
        "fractures/ct_1.nii.gz",  # a mask named after its CT, or CTs with fractures
        "ct_fractures/1.nii.gz",
    ],
)
def test_what_names_leave_open_is_reported_and_never_a_ct(tmp_path, mask):
    lay_out(tmp_path, "1_ct.nii.gz", mask)
    (case,), notes = find_cases(tmp_path)
    assert case == Case("1", "1", tmp_path / "1_ct.nii.gz")
    assert any("do not say what they are" in note and mask in note for note in notes)


def test_words_within_words_say_nothing(tmp_path):
    lay_out(tmp_path, "converted/anna.nii.gz", "distribution/bob.nii.gz")
    cases, _ = find_cases(tmp_path)
    assert [case.case_id for case in cases] == ["anna", "bob"]


def test_a_path_that_no_system_allows(tmp_path):
    with pytest.raises(UserError, match="Check the path"):
        find_cases(tmp_path / ("x" * 300))


def test_a_number_that_fits_two(tmp_path):
    lay_out(tmp_path, "a/7.nii.gz", "b/7.nii.gz", f"cut_li7.txt:{BOXES}")
    cases, notes = find_cases(tmp_path)
    assert [case.case_id for case in cases] == ["a_7", "b_7"]
    assert all(case.boxes is None for case in cases)
    assert "cut_li7.txt: fits 2 CTs (a/7.nii.gz, b/7.nii.gz)" in notes[0]


def test_plain_box_csv_and_grades(tmp_path):
    """Tables are told by what is in them."""
    lay_out(
        tmp_path,
        "patient.nii.gz",
        "patient_where.csv:level,x0,x1,y0,y1,z0,z1|L1,1,2,3,4,5,6",
        "patient_genant.csv:level,grade|L1,2",
        "patient_notes.csv:date,who|2020,x",
        "readme.txt:see the paper",
    )
    (case,), notes = find_cases(tmp_path)
    assert case.boxes == tmp_path / "patient_where.csv"
    assert case.grades == tmp_path / "patient_genant.csv"
    assert len(notes) == 1
    assert "patient_notes.csv" in notes[0]


class TestTotalSegmentator:
    def test_file_beside_the_ct(self, tmp_path):
        lay_out(tmp_path, "anna.nii.gz", "anna_seg.nii.gz", "ann.nii", "ann_totalseg.nii.gz")
        cases, _ = find_cases(tmp_path)
        assert [(c.case_id, c.vertebrae.name) for c in cases] == [
            ("ann", "ann_totalseg.nii.gz"),
            ("anna", "anna_seg.nii.gz"),
        ]

    def test_folder_of_classes(self, tmp_path):
        """Its training data: s0001/ct.nii.gz and s0001/segmentations/vertebrae_L5.nii.gz."""
        for name in ("s0001", "s0002"):
            lay_out(
                tmp_path / name,
                "ct.nii.gz",
                "segmentations/vertebrae_L5.nii.gz",
                "segmentations/liver.nii.gz",
            )
        cases, notes = find_cases(tmp_path)
        assert [(c.case_id, c.ct, c.vertebrae) for c in cases] == [
            (name, tmp_path / name / "ct.nii.gz", tmp_path / name / "segmentations")
            for name in ("s0001", "s0002")
        ]
        assert len(notes) == 1

    def test_two_maps_are_not_chosen_from(self, real_ct_root):
        """The vertebrae and all classes, both beside the CT."""
        with pytest.raises(UserError) as caught:
            find_cases(real_ct_root / "totalsegmentator-example")
        text = str(caught.value)
        assert "several files for its vertebrae" in text
        assert "example_ct_seg_all_classes.nii.gz, example_ct_vertebrae.nii.gz" in text
        assert "example_ct_vertebrae_body.nii.gz" in text


def test_dicom_series_in_folders(tmp_path):
    for name in ("p1", "p2"):
        save(make_slices(volume(), series_affine()), tmp_path / name / "dicom")
        lay_out(tmp_path / name, "vertebrae.nii.gz")
    cases, _ = find_cases(tmp_path)
    assert [(case.ct, case.vertebrae) for case in cases] == [
        (tmp_path / name / "dicom", tmp_path / name / "vertebrae.nii.gz") for name in ("p1", "p2")
    ]
    assert [case.case_id for case in cases] == ["p1_dicom", "p2_dicom"]


def test_one_ct(tmp_path):
    series = save(make_slices(volume(), series_affine(), "1.2.77"), tmp_path / "series")
    lay_out(tmp_path, "anna_ct.nii.gz")
    for path, name in (
        (tmp_path / "anna_ct.nii.gz", "anna"),
        (series, "series"),
        (f"{series}#77", "series_77"),
    ):
        (case,), notes = find_cases(path)
        assert (case.case_id, str(case.ct)) == (name, str(path))
        assert notes == ()


def test_the_manifest_of_a_folder(tmp_path):
    lay_out(
        tmp_path,
        "x.nii.gz",
        "y_ct.nii.gz",
        "manifest.csv:" + ",".join(COLUMNS) + "|one,p,x.nii.gz,,,,,test|two,p,z.nii.gz,,,,,test",
    )
    cases, notes = find_cases(tmp_path)
    assert cases == (Case("one", "p", tmp_path / "x.nii.gz", split="test"),)
    assert "line 3: ct 'z.nii.gz' does not exist" in notes[0]


def test_nothing_found(tmp_path):
    lay_out(tmp_path, "frac_1.nii.gz", ".hidden_ct.nii.gz")
    with pytest.raises(
        UserError, match=r"no case found.*manifest.csv(.|\n)*frac_1.nii.gz: belongs"
    ):
        find_cases(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        find_cases(tmp_path / "no")


def test_real_data(real_ct_root, tmp_path):
    for name in ("verse014", "tptbox-sample", "graded-masks"):
        shutil.copytree(real_ct_root / name, tmp_path / name)
    cases, notes = find_cases(tmp_path)
    assert [(case.case_id, case.patient_id) for case in cases] == [
        ("sub-ct_label-22", "sub-ct"),
        ("sub-verse014", "sub-verse014"),
    ]
    for case in cases:
        ct, labels = nib.load(case.ct), nib.load(case.vertebrae)
        assert ct.shape == labels.shape
        assert len(np.unique(labels.dataobj)) > 3
    assert cases[1].grades == tmp_path / "verse014/genant_grades.csv"
    text = "\n".join(notes)
    assert "graded-masks/genant_grades.csv: belongs to no CT" in text
    assert "sub-verse004_seg-vert_msk.nii.gz: belongs to no CT" in text


def test_a_table_of_grades_names_its_ct_in_any_spelling(tmp_path):
    lay_out(
        tmp_path,
        *("a/ct_07.nii.gz", "b/ct_8.nii.gz", "vertebrae_7.nii.gz", "vertebrae_8.nii.gz"),
        "grades.csv:case,vertebra,genant_grade|7.0,L1,2",
    )
    found = {case.case_id: case.grades for case in find_cases(tmp_path)[0]}
    assert found == {"07": tmp_path / "grades.csv", "8": None}
