"""Links and special files in a manifest."""

import os

import pytest

from tests.data.test_cases import manifest
from vfseg.data.cases import check_manifest
from vfseg.data.discovery import find_cases
from vfseg.errors import UserError


@pytest.fixture
def data(tmp_path):
    """A folder of data with a file outside of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "ct.nii.gz").touch()
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


LINKS = {
    "a file": ("link.nii.gz", "../outside/ct.nii.gz", "link.nii.gz"),
    "a folder": ("link", "../outside", "link/ct.nii.gz"),
    "by an absolute path": ("link", None, "link/ct.nii.gz"),
    "a folder of files": ("series/0001.dcm", "../../outside/ct.nii.gz", "series"),
    "one of several series": ("series/0001.dcm", "../../outside/ct.nii.gz", "series#1.2"),
}


@pytest.mark.parametrize("name", LINKS)
def test_links_that_lead_out_are_refused_unless_allowed(name, data):
    link, target, cell = LINKS[name]
    (data / link).parent.mkdir(exist_ok=True)
    os.symlink(target or data.parent / "outside", data / link)
    path = manifest(data, f"one,p,{cell},,,,,", "two,q,a.nii.gz,,,,,")
    cases, (problem,) = check_manifest(path)
    assert [case.case_id for case in cases] == ["two"]
    assert problem.startswith("line 2: ")
    assert f"to {data.parent / 'outside' / 'ct.nii.gz'}: move" in problem
    assert problem.endswith("allow it with --follow_links")
    for find in (check_manifest, find_cases):
        cases, notes = find(path, follow_links=True)
        assert [case.case_id for case in cases] == ["one", "two"]
        assert notes == ()


def test_links_within_the_folder_are_followed(data):
    manifest(data)
    os.symlink("sub/m.nii.gz", data / "link.nii.gz")
    os.symlink("sub", data / "folder")
    path = manifest(data, "one,p,link.nii.gz,folder/m.nii.gz,,,,", "two,q,sub/../a.nii.gz,,,,,")
    cases, problems = check_manifest(path)
    assert len(cases) == 2
    assert problems == ()


def test_a_folder_that_is_reached_by_a_link_is_the_folder(data):
    """Where a cluster keeps data elsewhere, the manifest is there, too."""
    path = manifest(data, "one,p,a.nii.gz,sub/m.nii.gz,,,,")
    os.symlink(data, data.parent / "link")
    cases, problems = check_manifest(data.parent / "link" / path.name)
    assert len(cases) == 1
    assert problems == ()


def test_pipes_and_devices_are_named(data):
    os.mkfifo(data / "pipe.nii.gz")
    path = manifest(data, "one,p,pipe.nii.gz,,,,,", "two,q,a.nii.gz,,,,,")
    cases, (problem,) = check_manifest(path)
    assert len(cases) == 1
    assert problem == "line 2: ct 'pipe.nii.gz' is a pipe or a device: name a file"


def test_a_manifest_that_is_a_pipe_is_not_waited_for(data):
    os.mkfifo(data / "manifest.csv")
    with pytest.raises(UserError, match=r"manifest.csv: a pipe, a socket or a device"):
        check_manifest(data / "manifest.csv")
