"""Files that do not belong to the volume of their series are left out and named, one by one."""

import re

import numpy as np
import pydicom
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.uid import RLELossless

from tests.data.dicom_series import make_slices, save, series_affine, volume
from tests.faults.dicom_mutations import file_of, parts_of
from vfseg.data.volume import ct_files, read_ct, read_geometry
from vfseg.errors import UserError

UID = "1.2.840.77.1"
SHAPE = (6, 5, 8)


def axial():
    return make_slices(volume(SHAPE), series_affine(), UID)


def localizer(**tags):
    """A coronal view of other size, in the series of the slices."""
    affine = series_affine((1, 0, 0), (0, 0, -1), spacing=(0.7, 2.5, 0.9))
    return make_slices(volume((6, 8, 1)), affine, UID, **tags)[0]


def capture():
    """A secondary capture: 8 bits, no place, no units."""
    (data,) = make_slices(volume((6, 5, 1)), series_affine(), UID)
    data.SOPClassUID, data.ImageType = "1.2.840.10008.5.1.4.1.1.7", ["DERIVED", "SECONDARY"]
    for tag in (
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"),
        "RescaleIntercept",
    ):
        delattr(data, tag)
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelData = 8, 8, 7, bytes(30)
    return data


def screenshot():
    """A picture in colours that has a place."""
    (data,) = make_slices(volume((6, 5, 1)), series_affine(), UID)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelData = 8, 8, 7, bytes(90)
    return data


def bytes_of(data, tmp_path):
    path = tmp_path / "one.dcm"
    data.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def with_value(data, tag, kind, value):
    """A file of the slice in which an element holds these bytes, whatever they mean."""
    parts = [part for part in parts_of(data) if part[0] != tag]
    parts.append([tag, kind, value + b" " * (len(value) % 2), None])
    return file_of(sorted(parts, key=lambda part: part[0]), data, "plain")


ODD = {
    "localizer": (
        lambda: localizer(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        "a localizer",
    ),
    "localizer that does not say so": (localizer, "8 x 6 pixels, 5 x 6 in the other slices"),
    "capture": (capture, "without ImagePositionPatient"),
    "screenshot": (screenshot, "RGB of 3 values a pixel, expected MONOCHROME2"),
    "of another kind": (lambda: localizer(Modality="PT"), "PT, not CT"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_of_a_series(name, tmp_path, caplog):
    make, reason = ODD[name]
    folder = save(axial(), tmp_path / "s")
    odd = folder / "IM9999"
    make().save_as(odd, enforce_file_format=True)
    ct = read_ct(folder)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(SHAPE))
    np.testing.assert_allclose(ct.geometry.stored_affine, series_affine(), atol=1e-4)
    assert f"{folder}: left out IM9999: {reason}" in caplog.text
    assert odd not in ct_files(folder)
    assert len(ct_files(folder)) == SHAPE[2]


TRUNCATED = {
    "in the pixels": lambda content: content[:-20],
    "before the pixels": lambda content: content[: content.index(b"\xe0\x7f\x10\0")],
    "in the tags": lambda content: content[:500],
    "in the file meta information": lambda content: content[:200],
    "after the mark": lambda content: content[:132],
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_last_slice(name, tmp_path, caplog):
    """The volume ends before it; which file it was is said."""
    slices = axial()
    folder = save(slices[:-1], tmp_path / "s")
    (folder / "LAST").write_bytes(TRUNCATED[name](bytes_of(slices[-1], tmp_path)))
    ct = read_ct(folder)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(SHAPE)[..., :-1])
    assert f"{folder}: left out LAST: " in caplog.text


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_slice_in_the_middle_is_a_missing_one(name, tmp_path):
    slices = axial()
    folder = save(slices[:3] + slices[4:], tmp_path / "s")
    (folder / "FOURTH").write_bytes(TRUNCATED[name](bytes_of(slices[3], tmp_path)))
    for reader in (read_ct, read_geometry):
        with pytest.raises(UserError, match=r"(?s)1 missing slice .*left out FOURTH: "):
            reader(folder)


@pytest.mark.parametrize("cut", [10, 60])
def test_a_truncated_slice_of_run_lengths(cut, tmp_path, caplog):
    slices = axial()
    for data in slices:
        data.compress(RLELossless)
    folder = save(slices[:-1], tmp_path / "s")
    (folder / "LAST").write_bytes(bytes_of(slices[-1], tmp_path)[:-cut])
    ct = read_ct(folder)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(SHAPE)[..., :-1])
    assert f"{folder}: left out LAST: cut short within the compressed pixels" in caplog.text


def test_more_than_a_few_damaged_slices_are_no_series(tmp_path):
    slices = axial()
    folder = save(slices[:4], tmp_path / "s")
    for index, data in enumerate(slices[4:]):
        (folder / f"PART{index}").write_bytes(bytes_of(data, tmp_path)[:-20])
    with pytest.raises(UserError, match=r"(?s)PART0: cut short.*PART2: .*and 1 file more"):
        read_ct(folder)


def test_as_many_odd_files_as_slices_are_no_series(tmp_path):
    folder = save([*axial()[:2], *(capture() for _ in range(2))], tmp_path / "s")
    with pytest.raises(UserError, match="without ImagePositionPatient"):
        read_ct(folder)


def test_only_damaged_files(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "IM0").write_bytes(bytes(128) + b"DICM" + b"\2\0\x10\0UI\xff\xff")
    with pytest.raises(UserError, match=f"{folder}: ") as caught:
        read_ct(folder)
    assert "IM0" in str(caught.value)


CONVERSIONS = {
    "PixelSpacing": ["0,7\\0,7", "0.7\\", "\\\\", "a\\b", "1e999\\1", "nan\\nan", "", "1\\1\\1"],
    "ImagePositionPatient": ["1,5\\0\\0", "1\\2", "--1\\0\\0", "1e9\\0\\0", "0\\0\\inf"],
    "ImageOrientationPatient": ["1\\0\\0\\0\\1\\x", "1\\0\\0", "1,0\\0\\0\\0\\1\\0"],
    "RescaleSlope": ["1,0", "", "1\\2", "1e30", "0"],
    "RescaleIntercept": ["-1024,0", "-1e30", "-1024\\-1024"],
    "NumberOfFrames": ["one", "1.5.1"],
}
COUNTS = {
    "Rows": (65535, "65535 x 6 pixels need"),
    "Columns": (65535, "5 x 65535 pixels need"),
    "BitsStored": (17, "BitsStored 17, expected 16 or fewer"),
    "PixelRepresentation": (2, "PixelRepresentation .*expected 0 or 1"),
    "SamplesPerPixel": (2, "2 values a pixel"),
}


@pytest.mark.parametrize(
    ("tag", "value"), [(tag, value) for tag, values in CONVERSIONS.items() for value in values]
)
@pytest.mark.parametrize("which", ["last", "all"])
def test_conversions_that_fail(tag, value, which, tmp_path, caplog):
    """The one slice is left out and named; where it is all, the first is named, with the tag."""
    folder = save(axial()[:-1], tmp_path / "s")
    damaged = folder / "LAST"
    number, kind = tag_for_keyword(tag), b"IS" if tag == "NumberOfFrames" else b"DS"
    for path in [*folder.iterdir(), damaged] if which == "all" else [damaged]:
        data = axial()[-1] if path == damaged else pydicom.dcmread(path)
        path.write_bytes(with_value(data, number, kind, value.encode()))
    if which == "all":
        with pytest.raises(UserError, match=rf"(?s){folder}: .*{tag}") as caught:
            read_ct(folder)
        assert str(caught.value).endswith(".")
    else:
        ct = read_ct(folder)
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(SHAPE)[..., :-1])
        assert tag in caplog.text


@pytest.mark.parametrize("tag", COUNTS)
@pytest.mark.parametrize("which", ["last", "all"])
def test_counts_that_cannot_be(tag, which, tmp_path, caplog):
    value, message = COUNTS[tag]
    slices = axial()
    for data in slices if which == "all" else slices[-1:]:
        setattr(data, tag, value)
    folder = save(slices, tmp_path / "s")
    if which == "all":
        with pytest.raises(UserError, match=message):
            read_ct(folder)
    else:
        ct = read_ct(folder)
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(SHAPE)[..., :-1])
        assert re.search(message, caplog.text)
