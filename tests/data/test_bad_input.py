"""Bad input: every way in which files are wrong is named, with the file and what to do about it.

One table for each kind of file that the user gives. DICOM series and tables of grades, whose own
tables are as long, are in `test_dicom.py` and `test_grades.py`.
"""

import gzip
import re

import nibabel as nib
import numpy as np
import pytest

from tests.data.nifti_files import SHAPE, save, save_raw, values
from tests.data.test_cases import HEADER, manifest
from vfseg.data.boxes import vertebrae_from_boxes
from vfseg.data.cases import check_manifest
from vfseg.data.discovery import find_cases
from vfseg.data.geometry import geometry_from
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.data.volume import read_ct, read_labels, read_probability
from vfseg.errors import UserError


def says_what_where_and_the_remedy(error, path):
    text = str(error)
    assert str(path) in text
    assert text.rstrip().endswith(".")
    assert len([part for part in text.split(". ") if part]) >= 2  # what, and what to do


def _truncated(path):
    save(path, np.random.default_rng(0).integers(0, 999, (20, 20, 20), np.int16), np.eye(4))
    path.write_bytes(path.read_bytes()[:-2000])


def _cut_in_trailer(path):
    save(path, values(), np.eye(4))
    path.write_bytes(path.read_bytes()[:-3])


def _short_uncompressed(path):
    plain = save(path.with_name("x.nii"), values(), np.eye(4))
    path.write_bytes(gzip.compress(plain.read_bytes()[:-50]))


def _with(array, affine=None, **header):
    return lambda path: save(path, array, np.eye(4) if affine is None else affine, **header)


def _raw_header(**fields):
    """As `_with`, but past nibabel's checks on writing."""

    def make(path):
        plain = save(path.with_name("x.nii"), values(), np.eye(4))
        save_raw(path, plain, **fields)

    return make


def _special(value):
    array = values(dtype=np.float32)
    array[1, 2, 3] = value
    return _with(array)


def _no_orientation(path):
    nib.save(nib.Nifti1Image(values(), None), path)


SINGULAR = {"srow_x": [1, 1, 0, 0], "srow_y": [1, 1, 0, 0], "srow_z": [0, 0, 1, 0]}
RGB = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
CT, LABELS, ANY = (read_ct,), (read_labels,), (read_ct, read_labels)
VOLUMES = {
    "missing": (lambda path: None, ANY, "no such file"),
    "folder": (lambda path: path.mkdir(), ANY, "a folder"),
    "text": (lambda path: path.write_text("not a volume " * 100), ANY, "not a NIfTI"),
    "empty": (lambda path: path.write_bytes(b""), ANY, "NIfTI|damaged"),
    "gzipped text": (lambda path: path.write_bytes(gzip.compress(b"x" * 999)), ANY, "NIfTI"),
    "truncated gzip": (_truncated, ANY, "cut short"),
    "gzip cut in its trailer": (_cut_in_trailer, ANY, "cut short"),
    "too few voxels": (_short_uncompressed, ANY, "cut short"),
    "4D": (_with(np.zeros((4, 4, 4, 2), np.int16)), ANY, "3D"),
    "2D": (_with(np.zeros((4, 4), np.int16)), ANY, "3D"),
    "NaN": (_special(np.nan), ANY, "NaN"),
    "inf": (_special(-np.inf), ANY, "infinite"),
    "zero spacing": (_raw_header(pixdim=[1, 0, 1, 1, 0, 0, 0, 0]), ANY, "spacing"),
    "absurd spacing": (_with(values(), np.diag([0.001, 1, 1, 1])), ANY, "spacing"),
    "zero column": (_raw_header(srow_x=[0, 0, 0, 0]), ANY, "spacing"),
    "singular affine": (_raw_header(**SINGULAR), ANY, "singular"),
    "NaN in the affine": (_raw_header(srow_y=[0, np.nan, 0, 0]), ANY, "NaN"),
    "absurd sizes": (_raw_header(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), ANY, "damaged"),
    "more voxels than deflate holds": (_raw_header(dim=[3, 999, 999, 999, 1, 1, 1, 1]), ANY, "cut"),
    "negative size": (_raw_header(dim=[3, 5, -4, 3, 1, 1, 1, 1]), ANY, "damaged|NIfTI"),
    "two negative sizes": (_raw_header(dim=[3, -5, -4, 3, 1, 1, 1, 1]), ANY, "damaged|NIfTI"),
    "offset of NaN": (_raw_header(vox_offset=np.nan), ANY, "not a NIfTI"),
    "infinite offset": (_raw_header(vox_offset=np.inf), ANY, "not a NIfTI"),
    "offset beyond the end": (_raw_header(vox_offset=1e12), ANY, "cut short"),
    "negative offset": (_raw_header(vox_offset=-64), ANY, "cut short|NIfTI"),
    "no orientation": (_no_orientation, ANY, "left"),
    "uint8 CT": (_with(values(dtype=np.uint8)), CT, "Hounsfield"),
    "normalised CT": (_with(values(dtype=np.float32) / 210), CT, "Hounsfield"),
    "colours": (_with(RGB), ANY, "one number"),
    "labels as fractions": (_with(values(dtype=np.float32) / 2), LABELS, "whole numbers"),
    "labels below 0": (_with(values() - 1), LABELS, "label map"),
    "no probabilities": (_with(values()), (read_probability,), "not probabilities"),
    "labels above 65535": (_with(values(dtype=np.int32) * 1000), LABELS, "label map"),
}


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.filterwarnings("ignore:overflow")
def test_volumes(name, tmp_path):
    make, readers, message = VOLUMES[name]
    path = tmp_path / "case7.nii.gz"
    make(path)
    for reader in readers:
        with pytest.raises(UserError, match=message) as caught:
            reader(path)
        says_what_where_and_the_remedy(caught.value, path)


@pytest.mark.parametrize("dims", [(32767, 32767, 32767), (1600, 1600, 1600)])
def test_no_memory_is_taken_for_what_a_file_cannot_hold(dims, tmp_path, monkeypatch):
    monkeypatch.setattr(np, "empty", None)
    path = tmp_path / "case7.nii"
    _raw_header(dim=[3, *dims, 1, 1, 1, 1])(path)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    for reader in ANY:
        with pytest.raises(UserError, match="damaged") as caught:
            reader(path)
        says_what_where_and_the_remedy(caught.value, path)


@pytest.mark.parametrize("name", ["truncated", "header only"])
def test_uncompressed_files_cut_short(name, tmp_path):
    """They are mapped into memory, which must not reach beyond their end."""
    path = save(tmp_path / "case7.nii", values(), np.eye(4))
    path.write_bytes(path.read_bytes()[: -50 if name == "truncated" else 352])
    for reader in ANY:
        with pytest.raises(UserError, match="cut short") as caught:
            reader(path)
        says_what_where_and_the_remedy(caught.value, path)


def _class_file(name, array, affine=None):
    return lambda folder: save(folder / name, array, np.eye(4) if affine is None else affine)


SHIFTED = np.diag([1.0, 1, 1, 1])
SHIFTED[0, 3] = 2
CLASS_FOLDERS = {
    "no vertebra": ([_class_file("liver.nii.gz", values())], "without a mask of a vertebra"),
    "unknown vertebra": ([_class_file("vertebrae_L9.nii.gz", values())], "without a mask"),
    "two forms": (
        [
            _class_file("vertebrae_L5.nii.gz", values() // 999),
            _class_file("vertebrae_L5.nii", values() // 999),
        ],
        "Keep one",
    ),
    "many labels in a mask": (
        [_class_file("vertebrae_L5.nii.gz", values())],
        "from 1 to 209, expected a mask",
    ),
    "two grids": (
        [
            _class_file("vertebrae_L5.nii.gz", values() // 200),
            _class_file("vertebrae_L4.nii.gz", values() // 200, SHIFTED),
        ],
        "up to 2 mm",
    ),
}


@pytest.mark.parametrize("name", CLASS_FOLDERS)
def test_folders_of_masks(name, tmp_path):
    makers, message = CLASS_FOLDERS[name]
    for make in makers:
        make(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        read_vertebra_labels(tmp_path)
    says_what_where_and_the_remedy(caught.value, tmp_path)


BOXES = {
    "outside": ("27,0,6,1,2,1,2", "x from 0 to 6, the CT has 5"),
    "below 0": ("27,-1,5,1,2,1,2", "x from -1 to 5"),
    "inverted": ("27,1,2,4,2,1,2", "inverted: y from 4 to 2"),
    "empty": ("27,1,2,2,2,1,2", "y from 2 to 2"),
    "a box too many": ("27,1,2,1,2,1,2\n27,1,2,1,2,3,4", "second box of 27"),
    "a name": ("L99,1,2,1,2,1,2", "expected a whole number"),
    "a fraction": ("27,1,2,1,2,1,2.5", "z1 is '2.5'"),
    "too few numbers": ("27,1,2,1,2,1", "6 cells"),
    "nothing": ("", "no box"),
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes(name, tmp_path):
    text, message = BOXES[name]
    path = tmp_path / "cut_li7.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        vertebrae_from_boxes(path, geometry_from(SHAPE, np.eye(4)))
    says_what_where_and_the_remedy(caught.value, path)


GOOD = "one,p1,a.nii.gz,,,,,"
MANIFESTS = {
    "doubled id": ([GOOD, "one,p2,b.nii.gz,,,,,"], "line 3.*'one' is taken by line 2"),
    "ids that differ in case": ([GOOD, "ONE,p2,b.nii.gz,,,,,"], "taken by line 2"),
    "no id": ([",p1,a.nii.gz,,,,,"], "case_id ''"),
    "id that is a path": (["../one,p1,a.nii.gz,,,,,"], "case_id"),
    "no patient": (["one,,a.nii.gz,,,,,"], "patient_id is empty"),
    "no ct": (["one,p1,,,,,,"], "ct is empty"),
    "missing ct": (["one,p1,c.nii.gz,,,,,"], "ct 'c.nii.gz' does not exist"),
    "missing mask": (["one,p1,a.nii.gz,,,c.nii.gz,,"], "fractures 'c.nii.gz' does not exist"),
    "climbs out": (["one,p1,sub/../../a.nii.gz,,,,,"], "climbs out"),
    "absolute": (["one,p1,/a.nii.gz,,,,,"], "absolute"),
    "absolute on Windows": (["one,p1,C:\\a.nii.gz,,,,,"], "absolute"),
    "unknown split": (["one,p1,a.nii.gz,,,,,val"], "split 'val'.*validation"),
    "patient in two splits": (
        ["one,p1,a.nii.gz,,,,,train", "two,p1,b.nii.gz,,,,,test"],
        "line 3: patient 'p1' is in 'test' and, line 2, in 'train'",
    ),
    "too many cells": ([GOOD + ",,x"], "line 2: more cells"),
    "a comma too many": (["one,p1,,a.nii.gz,,,,,"], "line 2: more cells"),
    "too long a name": ([f"one,p1,{'x' * 300}.nii.gz,,,,,"], "line 2: ct 'xxx.*looked up"),
    "too long a path": ([f"one,p1,{'x/' * 3000}a.nii.gz,,,,,"], "line 2: ct 'x/x.*looked up"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(name, tmp_path):
    lines, message = MANIFESTS[name]
    _, problems = check_manifest(manifest(tmp_path, *lines))
    assert re.search(message, "\n".join(problems))


def test_an_empty_manifest(tmp_path):
    path = manifest(tmp_path)
    with pytest.raises(UserError, match="no case") as caught:
        check_manifest(path)
    assert str(path) in str(caught.value)


LINES = {name: lines[-1] for name, (lines, _) in MANIFESTS.items()}

QUOTES = {
    "to the end": (['two,p2,"b.nii.gz,,,,,'], 3),
    "to the next": (['two,"p2,b.nii.gz,,,,,', 'three,"p3",a.nii.gz,,,,,'], 3),
    "far on": ([GOOD.replace("one", f"x{i}") for i in range(5)] + ['"two,p2,b.nii.gz,,,,,'], 8),
}


@pytest.mark.parametrize("name", QUOTES)
def test_a_quotation_mark_without_its_second(name, tmp_path):
    """It would swallow the lines below it: which of them are meant cannot be told."""
    lines, number = QUOTES[name]
    path = manifest(tmp_path, GOOD, *lines, "last,p9,b.nii.gz,,,,,")
    with pytest.raises(UserError, match=f"line {number} is not CSV") as caught:
        check_manifest(path)
    says_what_where_and_the_remedy(caught.value, path)


def test_cells_of_several_lines_are_counted_from_the_first(tmp_path):
    path = manifest(
        tmp_path, *['one,p1,a.nii.gz,,,,,,"seen', 'twice"'], "two,p2,no.nii.gz,,,,,,",
        header=HEADER + ",note",
    )  # fmt: skip
    cases, problems = check_manifest(path)
    assert [case.case_id for case in cases] == ["one"]
    assert problems[0].startswith("line 4: ct 'no.nii.gz'")


@pytest.mark.parametrize("name", LINES)
def test_the_other_cases_go_on(name, tmp_path):
    """A bad line between good ones: left out, named, and no reason to stop."""
    first = MANIFESTS[name][0][:-1] or ["zero,p0,b.nii.gz,,,,,"]
    path = manifest(tmp_path, *first, LINES[name], "last,p9,b.nii.gz,,,,,")
    cases, problems = check_manifest(path)
    assert [case.case_id for case in cases] == [first[0].split(",")[0], "last"]
    assert len(problems) == 1
    assert problems[0].startswith(f"line {2 + len(first)}: ")
    found, notes = find_cases(path)
    assert found == cases
    assert notes == (f"{path}: left out, {problems[0]}",)


def test_all_problems_in_one_message(tmp_path):
    path = manifest(tmp_path, *[f"c{i},p{i},no{i}.nii.gz,,,,," for i in range(14)])
    with pytest.raises(UserError) as caught:
        find_cases(path)
    text = str(caught.value)
    assert "no0.nii.gz" in text
    assert "no7.nii.gz" in text
    assert text.endswith("and 6 more")


def test_nothing_usable_remains(tmp_path):
    path = manifest(tmp_path, "one,p1,no.nii.gz,,,,,", "two,p2,../b.nii.gz,,,,,")
    with pytest.raises(UserError, match=r"no case found(.|\n)*no.nii.gz(.|\n)*climbs out"):
        find_cases(path)
