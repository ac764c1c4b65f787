"""DICOM against the NIfTI of the same volume, by values, and by the choice of a series."""

import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLosslessSV1, RLELossless

from tests.data.dicom_series import jpeg_series, make_slices, save, series_affine, volume
from tests.data.nifti_files import write_probability
from vfseg.data.geometry import check_same_geometry
from vfseg.data.volume import ct_files, read_ct, read_geometry, write_labels
from vfseg.errors import UserError

TURNED = (0.8, 0.6, 0.0), (-0.36, 0.48, 0.8)
ORIENTATIONS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "feet first prone": ((1, 0, 0), (0, -1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "oblique": TURNED,
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_equals_the_nifti_of_the_same_volume(name, tmp_path):
    array, affine = volume(), series_affine(*ORIENTATIONS[name])
    folder = save(make_slices(array, affine), tmp_path / "series")
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "ct.nii.gz")
    dicom, nifti = read_ct(folder), read_ct(tmp_path / "ct.nii.gz")
    check_same_geometry(nifti.geometry, dicom.geometry, "nifti", "dicom")
    np.testing.assert_allclose(dicom.affine, nifti.affine, atol=1e-4)
    np.testing.assert_array_equal(dicom.array, nifti.array)
    assert dicom.array.dtype == np.int16
    np.testing.assert_allclose(read_geometry(folder).affine, dicom.affine)


def test_a_known_voxel(tmp_path):
    """Axial, head first: the last column is left, the last row posterior, z is superior."""
    array = np.full((6, 5, 4), -1000, np.int16)
    array[5, 4, 3] = 700
    ct = read_ct(save(make_slices(array, series_affine()), tmp_path / "s"))
    assert ct.shape == (4, 5, 6)
    assert ct.array[3, 0, 0] == 700
    # Pixel (column 5, row 4) of the slice at z = 400 + 3 * 2.5, in LPS and then in RAS.
    lps = np.array([-30 + 5 * 0.7, 12 + 4 * 0.9, 407.5])
    np.testing.assert_allclose(ct.affine @ [3, 0, 0, 1], [*(lps * [-1, -1, 1]), 1], atol=1e-4)
    np.testing.assert_allclose(ct.voxel_spacing, [2.5, 0.9, 0.7], rtol=1e-6)


def test_what_is_written_has_shape_and_affine_of_the_volume_as_read(tmp_path):
    affine = series_affine(*TURNED)
    ct = read_ct(save(make_slices(volume(), affine), tmp_path / "s"))
    write_probability(tmp_path / "p.nii.gz", np.zeros(ct.shape, np.float32), ct.geometry)
    write_labels(tmp_path / "m.nii.gz", (ct.array > 0).astype(np.uint8), ct.geometry)
    for name in ("p.nii.gz", "m.nii.gz"):
        image = nib.load(tmp_path / name)
        assert image.shape == (6, 5, 4)
        np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    np.testing.assert_array_equal(nib.load(tmp_path / "m.nii.gz").dataobj, volume() > 0)


VALUES = {
    "unsigned": {},
    "signed": {"PixelRepresentation": 1, "RescaleIntercept": 0},
    "slope and fractions": {"RescaleSlope": 0.5, "RescaleIntercept": -1024.5},
    "HU named": {"RescaleType": "HU"},
}


@pytest.mark.parametrize("name", VALUES)
def test_slope_and_intercept(name, tmp_path):
    slope, intercept = (
        float(VALUES[name].get(tag, default))
        for tag, default in (("RescaleSlope", 1), ("RescaleIntercept", -1024))
    )
    raw = np.rint((volume() - intercept) / slope)  # what the file stores
    ct = read_ct(save(make_slices(volume(), series_affine(), **VALUES[name]), tmp_path / "s"))
    stored = ct.geometry.to_stored(ct.array)
    np.testing.assert_array_equal(stored, np.rint(raw * slope + intercept))


def test_unused_bits_are_not_values(tmp_path):
    """12 of 16 bits: overlays of old files lie in the upper four."""
    slices = make_slices(volume(), series_affine(), BitsStored=12, HighBit=11)
    for data in slices:
        raw = np.frombuffer(data.PixelData, "<u2")
        data.PixelData = (raw | 0x7000).tobytes()
    ct = read_ct(save(slices, tmp_path / "s"))
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume())


PADDING = {
    "one value": ({"PixelPaddingValue": -2000, "PixelRepresentation": 1}, -2000, -1024),
    "a range": (
        {"PixelPaddingValue": -3000, "PixelPaddingRangeLimit": -2000, "PixelRepresentation": 1},
        -2500,
        -1024,
    ),
    "above all tissue": ({"PixelPaddingValue": 32767, "PixelRepresentation": 1}, 32767, -1024),
    "a value of tissue is kept": ({"PixelPaddingValue": 40, "PixelRepresentation": 1}, 40, 40),
}


@pytest.mark.parametrize("name", PADDING)
def test_padding_becomes_air(name, tmp_path, caplog):
    tags, stored, expected = PADDING[name]
    array = volume()
    array[:2] = stored
    slices = make_slices(array, series_affine(), RescaleIntercept=0, **tags)
    ct = read_ct(save(slices, tmp_path / "s"))
    result = ct.geometry.to_stored(ct.array)
    assert (result[:2] == expected).all()
    np.testing.assert_array_equal(result[2:], array[2:])


def test_padding_written_as_unsigned(tmp_path):
    """-2000 in a signed series, given as 63536, as many scanners do."""
    array = volume()
    array[0] = -2000
    slices = make_slices(array, series_affine(), RescaleIntercept=0, PixelRepresentation=1)
    for data in slices:
        data.add_new(0x00280120, "US", 63536)
    ct = read_ct(save(slices, tmp_path / "s"))
    assert (ct.geometry.to_stored(ct.array)[0] == -1024).all()


def test_run_length_compression(tmp_path):
    slices = make_slices(volume(), series_affine())
    for data in slices:
        data.compress(RLELossless)
    ct = read_ct(save(slices, tmp_path / "s"))
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume())


def test_jpeg_lossless_as_archives_send_it(tmp_path):
    pytest.importorskip("gdcm", reason="needs the extra dicom")
    packed, plain = jpeg_series(tmp_path, "JPEGLosslessProcess14_1")
    first = pydicom.dcmread(packed / "IM0000", stop_before_pixels=True)
    assert first.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    np.testing.assert_array_equal(read_ct(packed).array, read_ct(plain).array)


def test_files_of_a_series_in_order(tmp_path):
    folder = save(make_slices(volume(), series_affine()), tmp_path / "s")
    heights = [pydicom.dcmread(path).ImagePositionPatient[2] for path in ct_files(folder)]
    assert heights == [400 + 2.5 * index for index in range(4)]
    assert ct_files(tmp_path / "ct.nii.gz") == (tmp_path / "ct.nii.gz",)


class TestSeveralSeries:
    @pytest.fixture
    def folder(self, tmp_path):
        """As on a disc from a hospital: series below each other, a scout, a report, a directory."""
        root = tmp_path / "disc"
        for name, uid, seed in (("bone", "1.2.840.77.1", 1), ("soft", "1.2.840.77.2", 2)):
            slices = make_slices(volume(seed=seed), series_affine(), uid)
            save(slices, root / "ST0" / name)
            for data in slices:
                data.SeriesDescription = name
        scout = make_slices(volume((6, 5, 1)), series_affine(), "1.2.840.77.3")
        scout[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        save(scout, root / "scout")
        report = pydicom.Dataset()
        report.file_meta = scout[0].file_meta
        report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3"
        report.save_as(root / "report", enforce_file_format=True)
        (root / "readme.txt").write_text("viewer")
        return root

    def test_they_are_listed(self, folder):
        with pytest.raises(UserError) as caught:
            read_ct(folder)
        text = str(caught.value)
        assert "3 series" in text
        for expected in (
            *("840.77.1", "840.77.2", "840.77.3", "Bone 1.0", "4 slices"),
            *("0.9 x 0.7 x 2.5 mm", "a localizer", f"'{folder}#840.77.1'"),
        ):
            assert expected in text

    @pytest.mark.parametrize(("choice", "seed"), [("77.1", 1), ("1.2.840.77.2", 2)])
    def test_one_is_chosen_by_a_part_of_its_uid(self, folder, choice, seed):
        ct = read_ct(f"{folder}#{choice}")
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(seed=seed))
        assert {path.parent.name for path in ct_files(f"{folder}#{choice}")} == {
            "bone" if seed == 1 else "soft"
        }

    @pytest.mark.parametrize(
        ("choice", "message"), [("9.9", "none of them"), ("77", "3 of them"), ("77.3", "localizer")]
    )
    def test_a_choice_that_does_not_tell(self, folder, choice, message):
        with pytest.raises(UserError, match=message):
            read_geometry(f"{folder}#{choice}")

    def test_a_uid_that_is_part_of_another(self, tmp_path):
        for uid, seed in (("1.2.77.1", 1), ("1.2.77.11", 2)):
            save(make_slices(volume(seed=seed), series_affine(), uid), tmp_path / "s")
        ct = read_ct(tmp_path / "s#1.2.77.1")
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(seed=1))

    def test_the_only_volume_needs_no_choice(self, folder):
        shutil.rmtree(folder / "ST0" / "soft")
        ct = read_ct(folder)
        np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume(seed=1))

    def test_a_folder_with_a_hash_in_its_name(self, tmp_path):
        folder = save(make_slices(volume(), series_affine()), tmp_path / "case#1")
        assert read_ct(folder).shape == (4, 5, 6)


def test_a_real_ct_through_dicom(real_ct_root, tmp_path):
    """A PIR file: its slices along the third axis are sagittal."""
    source = read_ct(real_ct_root / "verse014/sub-verse014_ct.nii.gz")
    affine = source.geometry.stored_affine
    array = source.geometry.to_stored(source.array)
    axes = [affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in range(3)]
    if np.cross(axes[0], axes[1]) @ axes[2] < 0:  # slices are ordered along the normal
        array = array[:, :, ::-1]
        affine = affine @ np.array(
            [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, array.shape[2] - 1], [0, 0, 0, 1.0]]
        )
    folder = save(make_slices(np.maximum(array, -1024), affine), tmp_path / "s")
    ct = read_ct(folder)
    check_same_geometry(source.geometry, ct.geometry, "nifti", "dicom")
    np.testing.assert_array_equal(ct.array, np.maximum(source.array, -1024))
