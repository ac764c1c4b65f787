"""Forms of a DICOM file: how they are recognised, and that they take no more memory than meant."""

import contextlib
import io
import os
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from tests.data.dicom_series import make_slices, save, series_affine, volume
from vfseg.data.dicom import open_series
from vfseg.data.dicom_file import is_dicom_file
from vfseg.data.discovery import find_cases
from vfseg.data.nifti import open_nifti
from vfseg.data.volume import read_ct
from vfseg.errors import UserError
from vfseg.files import is_special_file


def bare(data, implicit=True, little=True):
    """The data set of a slice without preamble and file meta information."""
    copy = pydicom.Dataset()
    copy.update({element.tag: element for element in data})
    copy["PixelData"].VR = "OW"
    if not little:
        copy.PixelData = np.frombuffer(copy.PixelData, "<u2").astype(">u2").tobytes()
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = implicit, little
    write_dataset(file, copy)
    return file.getvalue()


def whole(data):
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def deflated(data):
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return whole(data)


FORMS = {
    "implicit, without preamble": bare,
    "explicit, without preamble": lambda data: bare(data, implicit=False),
    "big endian, without preamble": lambda data: bare(data, implicit=False, little=False),
    "only the preamble is missing": lambda data: whole(data)[132:],
    "deflated": deflated,
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_a_file(name, tmp_path):
    array = volume()
    array[0] = -2000
    slices = make_slices(
        array, series_affine(), PixelRepresentation=1, RescaleIntercept=0, PixelPaddingValue=-2000
    )
    for index, data in enumerate(slices):
        (tmp_path / f"{index}.dcm").write_bytes(FORMS[name](data))
    array[0] = -1024  # padding becomes air
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), array)
    np.testing.assert_allclose(ct.geometry.stored_affine, series_affine(), atol=1e-4)
    with pytest.raises(UserError, match="one DICOM slice"):
        open_nifti(tmp_path / "0.dcm")
    assert [case.ct for case in find_cases(tmp_path)[0]] == [tmp_path]


@pytest.mark.parametrize(
    "content", [b"", b"\x08\0", b"\x08\0\x05\0" + bytes(200), b"UID 1.2.840.10008.1.2", bytes(500)]
)
def test_what_is_no_dicom(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert not is_dicom_file(path)


LARGE, MOST = 100 * 2**20, 20 * 2**20


@contextlib.contextmanager
def little_memory():
    """No more than `MOST` is taken inside, as Python's and numpy's allocators count it."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def bomb(data, tag):
    """A deflated slice whose element `tag`, in place of its pixels, holds `LARGE` zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = whole(data)
    meta = file[: 144 + int.from_bytes(file[140:144], "little")]  # as its group length says
    tags = bare(data, implicit=False).split(b"\xe0\x7f\x10\0")[0]
    head = tags + tag + b"OW\0\0" + LARGE.to_bytes(4, "little")
    packed = packer.compress(head)
    for _ in range(LARGE >> 20):
        packed += packer.compress(bytes(2**20))
    return meta + packed + packer.flush()


def write_bombs(folder, tag):
    for index, data in enumerate(make_slices(volume((6, 5, 2)), series_affine())):
        (folder / f"{index}").write_bytes(bomb(data, tag))
    assert sum(path.stat().st_size for path in folder.iterdir()) < LARGE / 400


def test_a_deflated_file_is_inflated_no_further_than_its_pixels(tmp_path):
    write_bombs(tmp_path, b"\xe0\x7f\x10\0")
    with little_memory():
        ct = read_ct(tmp_path)
    assert ct.shape == (2, 5, 6)
    assert (ct.array == -1024).all()  # the intercept


def test_a_deflated_file_without_pixels_in_reach(tmp_path):
    write_bombs(tmp_path, b"\xe0\x7f\x08\0")
    with little_memory(), pytest.raises(UserError, match="no pixels"):
        read_ct(tmp_path)


def test_a_volume_that_is_too_large_is_refused_by_its_headers(tmp_path):
    slices = make_slices(volume(), series_affine())
    for data in slices:
        data.compress(RLELossless)
        data.Rows = data.Columns = 65535
    # 4 slices of 65535 x 65535 voxels of 2 bytes
    with little_memory(), pytest.raises(UserError, match=r"promises 32 GiB.*LARGEST_VOLUME"):
        read_ct(save(slices, tmp_path / "s"))


def test_a_volume_above_the_limit_that_is_set(tmp_path, monkeypatch):
    folder = save(make_slices(volume(), series_affine()), tmp_path / "s")
    voxels = 6 * 5 * 4
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", f"{2 * voxels / 2**30}")
    assert read_ct(folder).shape == (4, 5, 6)
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", f"{(2 * voxels - 1) / 2**30}")
    with pytest.raises(UserError, match="promises"):
        read_ct(folder)


def test_an_axis_that_no_map_can_have(tmp_path):
    slices = make_slices(volume(), series_affine())
    for data in slices:
        data.compress(RLELossless)
        data.Columns = 2**15
    with pytest.raises(UserError, match=r"32768 x 5 x 4 voxels.* 32767 .*Export"):
        open_series(save(slices, tmp_path / "s"))


def test_more_codes_than_pixels_can_need(tmp_path):
    slices = make_slices(volume(), series_affine())
    for data in slices:
        data.compress(RLELossless)
        data.PixelData = encapsulate([bytes(2**20)])
    with pytest.raises(UserError, match=r"1048\d+ bytes of compressed pixels, while 5 x 6"):
        open_series(save(slices, tmp_path / "s"))


@pytest.mark.timeout(20)
class TestSpecialFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        """A series, a pipe that nobody writes to, and a device without end."""
        folder = save(make_slices(volume(), series_affine()), tmp_path / "data" / "case7")
        os.mkfifo(folder / "pipe.dcm")
        (folder / "device").symlink_to("/dev/zero")
        return folder

    def test_what_they_are(self, folder):
        special = {path.name for path in folder.iterdir() if is_special_file(path)}
        assert special == {"pipe.dcm", "device"}
        assert not any(is_dicom_file(folder / name) for name in special)
        assert not is_special_file(folder)
        assert not is_special_file(folder / "missing")

    def test_in_a_series_they_are_passed_over_and_named(self, folder, caplog):
        ct = read_ct(folder)
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume())
        for name in ("pipe.dcm", "device"):
            assert f"left out {name}: a pipe, socket or device" in caplog.text

    def test_in_a_data_set_they_are_passed_over_and_named(self, folder):
        os.mkfifo(folder.parent / "boxes.csv")
        (folder.parent / "ct_8.nii").symlink_to("/dev/zero")
        cases, notes = find_cases(folder.parent)
        assert [case.ct for case in cases] == [folder]
        for name in ("boxes.csv", "ct_8.nii", "case7/pipe.dcm", "case7/device"):
            assert f"{name}: a pipe, socket or device, passed over" in notes
