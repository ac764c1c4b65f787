"""Folders, tags and values that are refused, by name."""

import builtins

import pydicom
import pytest

from tests.data.dicom_series import save, slices_of
from vfseg.data.volume import read_ct
from vfseg.errors import UserError


def cut(folder):
    path = sorted(folder.iterdir())[2]
    path.write_bytes(path.read_bytes()[:-20])


BAD = {
    "8 bits": ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, None, "8 bits a pixel"),
    "colour": ({"PhotometricInterpretation": "RGB"}, None, "RGB"),
    "no intercept": ({"RescaleIntercept": None}, None, "no RescaleSlope"),
    "other units": ({"RescaleType": "Z_EFF"}, None, "in Z_EFF"),
    "MR": ({"Modality": "MR"}, None, "MR, not CT"),
    "no place": ({"ImagePositionPatient": None}, None, "without ImagePositionPatient"),
    "frames": ({"NumberOfFrames": 3}, None, "Enhanced CT"),
    "no right angle": ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, None, "right angle"),
    "cut short": ({}, cut, "IM0002: cut short"),
}
DAMAGED_TAGS = {
    "zero spacing": ("PixelSpacing", [0, 0]),
    "negative spacing": ("PixelSpacing", [0.7, -0.7]),
    "one spacing": ("PixelSpacing", 0.7),
    "place of two": ("ImagePositionPatient", [1, 2]),
    "orientation of three": ("ImageOrientationPatient", [1, 0, 0]),
    "slope of 0": ("RescaleSlope", 0),
}


@pytest.mark.parametrize("which", ["one slice", "all slices"])
@pytest.mark.parametrize("name", DAMAGED_TAGS)
def test_damaged_tags_are_named_with_their_file(name, which, tmp_path):
    tag, value = DAMAGED_TAGS[name]
    folder = save(slices_of(), tmp_path / "case7")
    files = sorted(folder.iterdir())
    files = files[2:3] if which == "one slice" else files
    for path in files:
        data = pydicom.dcmread(path)
        setattr(data, tag, value)
        data.save_as(path)
    for folder_or_choice in (folder, f"{folder}#1"):
        with pytest.raises(UserError, match=f"{files[0].name}: {tag} .*Export") as caught:
            read_ct(folder_or_choice)
        assert str(folder) in str(caught.value)


def test_damaged_tags_do_not_hide_the_list_of_series(tmp_path):
    """Another series to choose from is listed, whatever its tags hold."""
    folder = save(slices_of(), tmp_path / "case7")
    save(slices_of(PixelSpacing=0.7, ImagePositionPatient=[1, 2]), folder)
    with pytest.raises(UserError, match="2 series"):
        read_ct(folder)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_ct_is_named(name, tmp_path):
    tags, change, message = BAD[name]
    folder = save(slices_of(**tags), tmp_path / "case7")
    if change:
        change(folder)
    with pytest.raises(UserError, match=message) as caught:
        read_ct(folder)
    assert str(folder) in str(caught.value)
    assert str(caught.value).endswith(".")


def test_folders_and_files_without_a_series(tmp_path):
    with pytest.raises(UserError, match="without a DICOM slice"):
        read_ct(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_ct(tmp_path / "no" / "folder#1.2")
    folder = save(slices_of(1), tmp_path / "s")
    with pytest.raises(UserError, match="a single slice"):
        read_ct(folder)
    with pytest.raises(UserError, match="Give the folder of the series"):
        read_ct(next(folder.iterdir()))


def test_says_how_to_install_pydicom(tmp_path, monkeypatch):
    folder = save(slices_of(), tmp_path / "s")
    real = builtins.__import__

    def without_pydicom(name, *args, **kwargs):
        if name.split(".")[0] == "pydicom":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pydicom)
    with pytest.raises(UserError, match=r"pip install 'vfseg\[dicom\]'"):
        read_ct(folder)
