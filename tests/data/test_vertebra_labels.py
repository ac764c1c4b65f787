"""Label maps from one file, from a file for each class, and from a stand-in of TotalSegmentator."""

import inspect
import sys
import types
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.data.dicom_series import make_slices, save, series_affine, volume
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.vertebra_labels import (
    is_class_folder,
    label_files,
    read_vertebra_labels,
    segment_vertebrae,
)
from vfseg.data.volume import read_labels
from vfseg.errors import UserError

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def write(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(array), affine), path)
    return path


def mask(*voxels, value=1):
    array = np.zeros((4, 5, 6), np.uint8)
    for voxel in voxels:
        array[voxel] = value
    return array


class TestClassFolder:
    def test_merged_into_the_numbers_of_version_2(self, tmp_path):
        write(tmp_path / "vertebrae_L5.nii.gz", mask((0, 0, 0)))
        write(tmp_path / "vertebrae_T4.nii", mask((3, 4, 5), value=255))
        write(tmp_path / "vertebrae_C7.nii.gz", mask())
        write(tmp_path / "vertebrae_S1.nii.gz", mask((1, 0, 0)))
        write(tmp_path / "sacrum.nii.gz", mask((2, 0, 0)))
        write(tmp_path / "liver.nii.gz", mask((1, 1, 1)))
        (tmp_path / "statistics.json").write_text("{}")
        expected = np.zeros((4, 5, 6))
        for voxel, label in (((0, 0, 0), 27), ((3, 4, 5), 40), ((1, 0, 0), 26), ((2, 0, 0), 25)):
            expected[voxel] = label
        labels = read_vertebra_labels(tmp_path)
        np.testing.assert_array_equal(labels.geometry.to_stored(labels.array), expected)
        assert labels.array.dtype == np.uint8
        assert is_class_folder(tmp_path)
        names = [path.name.split(".")[0] for path in label_files(tmp_path)]
        assert names == ["sacrum", *(f"vertebrae_{n}" for n in ("S1", "L5", "T4", "C7"))]

    def test_overlap_is_reported(self, tmp_path, monkeypatch):
        write(tmp_path / "vertebrae_L5.nii.gz", mask((0, 0, 0), (0, 0, 1)))
        write(tmp_path / "vertebrae_L4.nii.gz", mask((0, 0, 1)))
        said = []
        monkeypatch.setattr("absl.logging.warning", lambda text, *args: said.append(text % args))
        labels = read_vertebra_labels(tmp_path)
        assert labels.geometry.to_stored(labels.array)[0, 0, :2].tolist() == [27, 28]
        assert "1 voxel" in said[0]
        assert "L4" in said[0]

    def test_masks_in_another_order_of_axes(self, tmp_path):
        """One mask is stored with its first axis reversed: the same voxel all the same."""
        write(tmp_path / "vertebrae_L5.nii.gz", mask((0, 0, 0)))
        flipped = AFFINE @ np.array([[-1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        write(tmp_path / "vertebrae_L4.nii.gz", mask((0, 0, 0)), flipped)
        labels = read_vertebra_labels(tmp_path)
        stored = labels.geometry.to_stored(labels.array)
        assert (stored[0, 0, 0], stored[3, 0, 0]) == (27, 28)

    def test_one_file(self, tmp_path):
        path = write(tmp_path / "m.nii.gz", mask((1, 2, 3), value=24))
        np.testing.assert_array_equal(read_vertebra_labels(path).array, read_labels(path).array)
        assert label_files(path) == (path,)

    def test_a_real_map_taken_apart(self, real_ct_root, tmp_path):
        """One file, and its classes one by one, are the same map and the same vertebrae."""
        source = real_ct_root / "totalsegmentator-example/example_ct_vertebrae.nii.gz"
        whole, image = read_vertebra_labels(source), nib.load(source)
        names = ["S1", "L5", "L4", "L3", "L2", "L1", "T12", "T11"]
        for label, name in enumerate(names, 26):
            array = (np.asarray(image.dataobj) == label).astype(np.uint8)
            write(tmp_path / f"vertebrae_{name}.nii.gz", array, image.affine)
        parts = read_vertebra_labels(tmp_path)
        np.testing.assert_array_equal(parts.array, whole.array)
        reading = read_vertebrae(parts, None, str(tmp_path))
        assert reading.scheme == "totalsegmentator"
        assert [v.level for v in reading.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]


def totalsegmentator_signature(
    input,
    output=None,
    ml=False,
    nr_thr_resamp=1,
    nr_thr_saving=6,
    fast=False,
    nora_tag="None",
    preview=False,
    task="total",
    roi_subset=None,
    statistics=False,
    radiomics=False,
    crop_path=None,
    body_seg=False,
    force_split=False,
    output_type="nifti",
    quiet=False,
    verbose=False,
    test=0,
    skip_saving=False,
    device="gpu",
    license_number=None,
    statistics_exclude_masks_at_border=True,
    no_derived_masks=False,
    v1_order=False,
    fastest=False,
    roi_subset_robust=None,
):
    """Arguments of TotalSegmentator 2.4; version 2.18 has them, in this order, and more."""


class StandIn:
    """Labels the brightest voxel as L1, on the grid of its input but with an axis reversed."""

    def __init__(self, fail=None, write=True):
        self.fail, self.write, self.calls = fail, write, []

    def __call__(self, *args, **kwargs):
        call = inspect.signature(totalsegmentator_signature).bind(*args, **kwargs).arguments
        self.calls.append(call)
        if self.fail:
            raise self.fail
        image = nib.load(call["input"])
        array = np.asarray(image.dataobj)
        labels = np.where(array == array.max(), 31, 0).astype(np.uint8)
        shift = np.diag([-1.0, 1, 1, 1])
        shift[0, 3] = array.shape[0] - 1
        if self.write:
            assert call["ml"]
            nib.save(nib.Nifti1Image(labels[::-1], image.affine @ shift), call["output"])


@pytest.fixture
def install(monkeypatch):
    def install(stand_in):
        package = types.ModuleType("totalsegmentator")
        package.python_api = types.ModuleType("totalsegmentator.python_api")
        package.python_api.totalsegmentator = stand_in
        monkeypatch.setitem(sys.modules, "totalsegmentator", package)
        monkeypatch.setitem(sys.modules, "totalsegmentator.python_api", package.python_api)
        return stand_in

    return install


class TestSegmentVertebrae:
    def test_nifti(self, tmp_path, install):
        stand_in = install(StandIn())
        ct = write(tmp_path / "ct.nii.gz", volume((4, 5, 6)))
        segment_vertebrae(ct, tmp_path / "out" / "vertebrae.nii.gz")
        image = nib.load(tmp_path / "out" / "vertebrae.nii.gz")
        np.testing.assert_array_equal(image.affine, AFFINE)
        expected = np.where(volume((4, 5, 6)) == volume((4, 5, 6)).max(), 31, 0)
        np.testing.assert_array_equal(image.dataobj, expected)
        (call,) = stand_in.calls
        assert call["input"] == ct
        classes = call["roi_subset"]
        assert type(classes) is list
        assert {"vertebrae_T3", "vertebrae_T4", "vertebrae_L5", "vertebrae_S1"} <= set(classes)
        assert len(classes) == 16
        assert not Path(call["output"]).exists()

    def test_dicom(self, tmp_path, install):
        install(StandIn())
        array, affine = volume(), series_affine()
        save(make_slices(array, affine, "1.2.77.1"), tmp_path / "s")
        save(make_slices(array[:, :, ::-1], affine, "1.2.77.2"), tmp_path / "s")
        segment_vertebrae(f"{tmp_path}/s#77.1", tmp_path / "v.nii.gz")
        image = nib.load(tmp_path / "v.nii.gz")
        np.testing.assert_allclose(image.affine, affine, atol=1e-4)
        np.testing.assert_array_equal(image.dataobj, np.where(array == array.max(), 31, 0))

    def test_not_installed(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "totalsegmentator", None)
        with pytest.raises(
            UserError, match=r"pip install 'TotalSegmentator>=2'.*--vertebrae LABEL"
        ):
            segment_vertebrae(tmp_path / "ct.nii.gz", tmp_path / "v.nii.gz")

    @pytest.mark.parametrize(
        ("stand_in", "message"),
        [
            (StandIn(ConnectionError("no weights")), "failed .ConnectionError: no weights"),
            (StandIn(SystemExit(1)), "failed .SystemExit"),
            (StandIn(write=False), "wrote no label map"),
        ],
    )
    def test_failures(self, stand_in, message, tmp_path, install):
        install(stand_in)
        ct = write(tmp_path / "ct.nii.gz", volume((4, 5, 6)))
        with pytest.raises(UserError, match=message) as caught:
            segment_vertebrae(ct, tmp_path / "v.nii.gz")
        assert str(ct) in str(caught.value)
        assert not (tmp_path / "v.nii.gz").exists()
