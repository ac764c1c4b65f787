"""Compressed files: told by what is in them, followed to their end, and never further."""

import bz2
import gzip
import os
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from tests.data.nifti_files import save
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.data.volume import read_ct, read_geometry, read_labels, read_probability
from vfseg.errors import UserError

READERS = (read_ct, read_labels, read_probability, read_geometry, read_vertebra_labels)
NAMES = ("ct.nii", "ct.nii.gz", "ct.nii.bz2", "ct.hdr", "ct")


@pytest.fixture
def plain(tmp_path):
    """A NIfTI file as bytes, and its values in file order."""
    array = np.random.default_rng(0).integers(-1000, 2000, (12, 13, 14), np.int16)
    return save(tmp_path / "source.nii", array, np.eye(4)).read_bytes(), array


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_the_content_decides_and_not_the_name(name, pack, plain, tmp_path):
    data, array = plain
    (tmp_path / name).write_bytes(pack(data))
    ct = read_ct(tmp_path / name)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), array)


@pytest.mark.parametrize("mark", [b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00"])
def test_other_packings_are_named(mark, tmp_path):
    (tmp_path / "ct.nii.gz").write_bytes(mark + bytes(500))
    with pytest.raises(UserError, match=r"ct.nii.gz: compressed with (zstd|xz)\. Unpack it"):
        read_ct(tmp_path / "ct.nii.gz")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_every_flipped_bit_is_noticed(pack, plain, tmp_path):
    """Refused, or, in bytes that no voxel depends on (the time in gzip's header), without effect.

    A flip within the stream often makes it longer than the header says, so that the voxels can be
    read, other ones, long before the sum that tells.
    """
    data, array = plain
    packed = pack(data)
    path = tmp_path / "ct.nii.gz"
    refused = 0
    for bit in np.random.default_rng(1).choice(8 * len(packed), 300, replace=False).tolist():
        changed = bytearray(packed)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            ct = read_ct(path)
        except UserError:
            refused += 1
        else:
            np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), array)
    assert refused > 290


def test_what_follows_the_voxels_is_checked_too(plain, tmp_path):
    """Some programs write a few bytes more; the sum stands behind them."""
    data, array = plain
    packed = bytearray(gzip.compress(data + bytes(5000)))
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(packed)
    ct = read_ct(path)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), array)
    packed[-5] ^= 1  # of the sum
    path.write_bytes(packed)
    with pytest.raises(UserError, match="damaged"):
        read_ct(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_no_more_is_unpacked_than_the_header_promises(pack, plain, tmp_path):
    data, _ = plain
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(pack(data + bytes(2**27)))
    for reader in (read_ct, read_labels):
        tracemalloc.start()
        with pytest.raises(UserError, match=r"holds more than its header says|labels from"):
            reader(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**24


def _promising(path, shape, pack):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"] = 352
    header["magic"] = header.single_magic
    path.write_bytes(pack(header.binaryblock + bytes(4) + bytes(10**6)))
    return path


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_small_file_takes_no_large_memory(pack, tmp_path, monkeypatch):
    """8 GB of voxels, of which a few thousand bytes promise to be all."""
    path = _promising(tmp_path / "ct.nii.gz", (1600, 1600, 1600), pack)
    monkeypatch.setattr(np, "empty", None)
    for reader in READERS:
        with pytest.raises(UserError, match="damaged or cut short"):
            reader(path)


def test_the_limit_is_said_and_can_be_raised(tmp_path, monkeypatch):
    path = _promising(tmp_path / "ct.nii", (100, 100, 60), bytes)  # 1.2 MB of voxels, 1.0 there
    path.write_bytes(path.read_bytes() + bytes(10**6))
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", "0.001")  # 1.07 MB
    with pytest.raises(UserError, match=r"ct.nii: promises .*VFSEG_LARGEST_VOLUME_GB"):
        read_labels(path)
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", "0.002")
    assert read_labels(path).shape == (60, 100, 100)


def test_pipes_and_devices_are_refused(tmp_path):
    """At once: reading from a pipe would wait for ever."""
    os.mkfifo(tmp_path / "ct.nii.gz")
    os.symlink("/dev/zero", tmp_path / "zero.nii")
    for path in (tmp_path / "ct.nii.gz", tmp_path / "zero.nii"):
        for reader in READERS:
            with pytest.raises(UserError, match="a pipe, a socket or a device"):
                reader(path)
