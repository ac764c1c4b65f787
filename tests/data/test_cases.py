"""Manifests: what is read, and every way to get one wrong."""

import pytest

from vfseg.data.cases import COLUMNS, Case, check_manifest, write_manifest
from vfseg.errors import UserError

HEADER = ",".join(COLUMNS)


def manifest(folder, *lines, header=HEADER, encoding="utf-8"):
    for name in ("a.nii.gz", "b.nii.gz", "sub/m.nii.gz"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
    return path


def read_manifest(path):
    """The cases of a manifest without a wrong line."""
    cases, problems = check_manifest(path)
    assert problems == ()
    return cases


def test_reads_lines_and_empty_cells(tmp_path):
    path = manifest(
        tmp_path,
        "one,p1,a.nii.gz,sub/m.nii.gz,,,,train",
        ",,,,,,,",
        "",
        "two, p2 ,./b.nii.gz",
    )
    assert read_manifest(path) == (
        Case("one", "p1", tmp_path / "a.nii.gz", tmp_path / "sub/m.nii.gz", split="train"),
        Case("two", "p2", tmp_path / "b.nii.gz"),
    )


def test_a_spreadsheets_file(tmp_path):
    """Byte order mark, columns in another order, a column more."""
    header = ",".join(["note", *reversed(COLUMNS)])
    line = '"old, kept",validation,,,,,a.nii.gz,p1,Fälle-1.b'
    (case,) = read_manifest(manifest(tmp_path, line, header=header, encoding="utf-8-sig"))
    assert case == Case("Fälle-1.b", "p1", tmp_path / "a.nii.gz", split="validation")


def test_round_trip(tmp_path):
    manifest(tmp_path)
    cases = (
        Case("one", "p,1", tmp_path / "a.nii.gz", fractures=tmp_path / "sub/m.nii.gz"),
        Case("two", "p2", tmp_path / "b.nii.gz", None, *[tmp_path / "a.nii.gz"] * 3, "test"),
    )
    write_manifest(tmp_path / "out.csv", cases)
    assert read_manifest(tmp_path / "out.csv") == cases
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == (
        'one,"p,1",a.nii.gz,,,sub/m.nii.gz,,'
    )


def test_a_dicom_series_and_a_folder_of_masks(tmp_path):
    """Folders are files, too; after '#' comes a part of the UID of a series."""
    for name in ("scan", "masks"):
        (tmp_path / name).mkdir()
    (case,) = read_manifest(manifest(tmp_path, "one,p1,scan#1.2.7,masks,,,,"))
    assert (case.ct, case.vertebrae) == (tmp_path / "scan#1.2.7", tmp_path / "masks")
    for cells in ("no#1.2.7,", "a.nii.gz,masks#1"):
        _, (problem,) = check_manifest(manifest(tmp_path, f"one,p1,{cells},,,,"))
        assert "does not exist" in problem


def test_files_outside_are_not_written(tmp_path):
    cases = [Case("one", "p1", tmp_path / "a.nii.gz")]
    with pytest.raises(UserError, match="outside"):
        write_manifest(tmp_path / "sub" / "out.csv", cases)
    assert not (tmp_path / "sub").exists()


def test_relative_manifest_path(tmp_path, monkeypatch):
    manifest(tmp_path, "one,p1,a.nii.gz,,,,,")
    monkeypatch.chdir(tmp_path)
    (case,) = read_manifest("manifest.csv")
    assert case.ct.exists()
    write_manifest("again.csv", [case])
    assert read_manifest("again.csv") == (case,)


def test_missing_column(tmp_path):
    path = manifest(tmp_path, "one,a.nii.gz", header="case_id,ct")
    with pytest.raises(UserError, match="lacks patient_id, vertebrae"):
        check_manifest(path)


def test_not_a_manifest(tmp_path):
    with pytest.raises(UserError, match="no such manifest"):
        check_manifest(tmp_path / "manifest.csv")
    with pytest.raises(UserError, match="cannot be read"):
        check_manifest(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="UTF-8"):
        check_manifest(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_bytes(b"")
    with pytest.raises(UserError, match="lacks case_id"):
        check_manifest(tmp_path / "y.csv")
