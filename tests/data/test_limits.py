"""The largest volume that is read."""

import os

import nibabel as nib
import numpy as np
import pytest

from vfseg.data.limits import LARGEST_VOLUME_BYTES, check_size
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError


def test_up_to_the_limit_nothing_is_said():
    check_size("ct.nii", LARGEST_VOLUME_BYTES)


def test_above_it_the_file_the_size_and_the_way_out_are_named():
    with pytest.raises(UserError) as caught:
        check_size("ct.nii", 2 * LARGEST_VOLUME_BYTES)
    for expected in ("ct.nii", "16 GiB", "8 GiB", "VFSEG_LARGEST_VOLUME_GB"):
        assert expected in str(caught.value)


def test_the_variable_raises_and_lowers_it(monkeypatch):
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", "16")
    check_size("ct.nii", 2 * LARGEST_VOLUME_BYTES)
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", "0.5")
    with pytest.raises(UserError, match=r"0\.5 GiB"):
        check_size("ct.nii", 2**29 + 1)


@pytest.mark.parametrize("value", ["large", "0", "-1", "nan"])
def test_a_variable_that_is_no_size(value, monkeypatch):
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", value)
    with pytest.raises(UserError, match=f"VFSEG_LARGEST_VOLUME_GB={value}: expected GiB"):
        check_size("ct.nii", 1)


def test_it_is_the_only_limit_of_a_file(tmp_path, monkeypatch):
    header, side = nib.Nifti1Header(), 2048  # 2048^3 bytes are the limit, and the header is more
    header.set_data_dtype(np.uint8)
    header.set_data_shape((side,) * 3)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path = tmp_path / "labels.nii"
    path.write_bytes(header.binaryblock)
    os.truncate(path, 352 + side**3)  # takes no room on the disk
    with pytest.raises(UserError, match="8 GiB that are read at most"):
        read_geometry(path)
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", "9")
    assert read_geometry(path).shape == (side,) * 3
