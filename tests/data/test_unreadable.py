"""Folders that may not be read: the system refuses, or is made to, since root may read all."""

import errno
import os
from pathlib import Path

import pytest

from tests.data.test_discovery import lay_out
from vfseg.data.dicom import holds_dicom
from vfseg.data.discovery import find_cases
from vfseg.data.vertebra_labels import is_class_folder
from vfseg.errors import UserError


def _refuse(monkeypatch, folder):
    """Has the system refuse to list a folder, as it does without the permission."""

    def refused(path):
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    listed, scanned = Path.iterdir, os.scandir
    monkeypatch.setattr(Path, "iterdir", lambda path: refused(path) or listed(path))
    monkeypatch.setattr(os, "scandir", lambda path: refused(path) or scanned(path))


@pytest.mark.parametrize("asks", [holds_dicom, is_class_folder, find_cases])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch, asks):
    _refuse(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)\. Change its") as no:
        asks(tmp_path)
    assert str(tmp_path) in str(no.value)


@pytest.mark.parametrize("listed", [True, False])
def test_one_below_is_passed_over_and_said(tmp_path, monkeypatch, listed):
    """Whether it cannot be listed at all, or its files may not be looked at."""
    lay_out(tmp_path, "a/ct_1.nii.gz", "a/vertebrae_1.nii.gz", "locked/ct_2.nii.gz")
    if listed:
        looked = Path.iterdir

        def refused(path):
            if path == tmp_path / "locked":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return looked(path)

        monkeypatch.setattr(Path, "iterdir", refused)
    else:
        _refuse(monkeypatch, tmp_path / "locked")
    cases, notes = find_cases(tmp_path)
    assert [case.case_id for case in cases] == ["1"]
    assert "locked: a folder that cannot be read, passed over" in notes
