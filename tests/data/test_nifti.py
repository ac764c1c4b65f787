"""Voxels slab by slab: the next is unpacked while one is looked at, and nothing else changes."""

import gzip
import threading

import numpy as np
import pytest

from tests.data.nifti_files import save
from vfseg.data import nifti
from vfseg.data.volume import read_ct, read_labels
from vfseg.errors import UserError

SLAB = 100


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A file of several slabs and a part of one."""
    monkeypatch.setattr(nifti, "SLAB_VOXELS", SLAB)
    array = np.random.default_rng(0).integers(0, 2000, (9, 10, 6), np.int16)
    return save(tmp_path / "ct.nii.gz", array, np.eye(4))


def threads():
    return [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


def test_slabs_come_in_the_order_of_the_file(path):
    stored, geometry = nifti.open_nifti(path)
    parts, values = zip(*nifti.read_slabs(stored))
    assert [(part.start, part.stop) for part in parts] == [
        (first, min(first + SLAB, 540)) for first in range(0, 540, SLAB)
    ]
    flat = np.concatenate(values)
    voxels = gzip.decompress(path.read_bytes())[stored.offset :]
    np.testing.assert_array_equal(flat, np.frombuffer(voxels, np.int16))
    array = flat.reshape(geometry.stored_shape, order="F")
    np.testing.assert_array_equal(geometry.to_stored(read_ct(path).array), array)


def test_damage_far_behind_is_told(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    stored, _ = nifti.open_nifti(path)
    slabs = nifti.read_slabs(stored)
    next(slabs)
    with pytest.raises(UserError, match="damaged or cut short"):
        list(slabs)


def test_who_stops_early_leaves_no_thread(path):
    before = threads()
    slabs = nifti.read_slabs(nifti.open_nifti(path)[0])
    next(slabs)
    assert len(threads()) == len(before) + 1
    slabs.close()
    assert threads() == before


def test_a_small_file_needs_no_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(nifti, "ThreadPoolExecutor", None)
    array = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    labels = read_labels(save(tmp_path / "labels.nii.gz", array, np.eye(4)))
    np.testing.assert_array_equal(labels.geometry.to_stored(labels.array), array)
