"""DICOM series against the same volume as NIfTI; every way in which a folder is no volume."""

import builtins
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLosslessSV1, RLELossless

from tests.data.dicom_series import make_slices, save, series_affine, volume
from vfseg.data.volume import (
    check_same_geometry,
    ct_files,
    read_ct,
    read_geometry,
    write_labels,
    write_probability,
)
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
    gdcm = pytest.importorskip("gdcm", reason="needs the extra dicom")
    folder = save(make_slices(volume((16, 16, 4)), series_affine()), tmp_path / "plain")
    (tmp_path / "packed").mkdir()
    for path in folder.iterdir():
        reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(tmp_path / "packed" / path.name))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    packed = tmp_path / "packed"
    first = pydicom.dcmread(packed / "IM0000", stop_before_pixels=True)
    assert first.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    np.testing.assert_array_equal(read_ct(packed).array, read_ct(folder).array)


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


def slices_of(count=10, **tags):
    return make_slices(volume((6, 5, count)), series_affine(), **tags)


def move(slices, index, offset):
    slices[index].ImagePositionPatient = [
        float(a) + b for a, b in zip(slices[index].ImagePositionPatient, offset)
    ]


def sheared(degrees):
    """The gantry is tilted about the x axis, the table moves along z."""
    slices = slices_of()
    turn = np.deg2rad(degrees)
    for index, data in enumerate(slices):
        data.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(turn)), float(np.sin(turn))]
        data.ImagePositionPatient = [-30, 12, 400 + 2.5 * index]
        data.GantryDetectorTilt = degrees
    return slices


def without(slices, *gone):
    return [data for index, data in enumerate(slices) if index not in gone]


def changed(change, **where):
    slices = slices_of(**where)
    return change(slices) or slices


def unequal(slices):
    for index in range(5, 10):
        move(slices, index, (0, 0, 1.25 * (index - 4)))


def mixed(slices):
    slices[3].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def smaller(slices):
    slices[3].Rows, slices[3].PixelData = 4, slices[3].PixelData[: 2 * 6 * 4]


def zoomed(slices):
    slices[3].PixelSpacing = [0.5, 0.5]


IRREGULAR = {
    "missing": (
        lambda: without(slices_of(), 3, 6, 7),
        r"3 missing slices \(2.5 mm.*1 between IM\d+ \(405.00 mm\) and IM\d+ \(410.00 mm\); "
        r"2 between IM\d+ \(412.50 mm\) and IM\d+ \(420.00 mm\)",
    ),
    "duplicate": (
        lambda: [*slices_of(), slices_of()[4]],
        r"1 duplicate slices \(two phases.* at 410.00 mm",
    ),
    "two phases": (lambda: slices_of() + slices_of(), "10 duplicate slices.*and 7 more"),
    "copy": (lambda: changed(lambda s: [*s, s[4].copy()]), r"1 duplicate slices \(copies of one"),
    "unequal": (lambda: changed(unequal), "unequal spacing.*2.5 to 3.75 mm: 4 times 2.5 mm; 5 tim"),
    "tilt": (lambda: sheared(12.0), r"gantry tilt of 12.0 degrees: .* says 12"),
    "shift": (lambda: changed(lambda s: move(s, 4, (2, 0, 0))), r"sideways, IM\d+ by 2.00 mm"),
    "mixed orientations": (lambda: changed(mixed), r"mixed orientations.*\(9 slices\).*\(1 slices"),
    "sizes": (lambda: changed(smaller), r"different Rows: 5 \(9 slices\), 4 \(1 slices\)"),
    "pixel spacing": (lambda: changed(zoomed), "different PixelSpacing"),
}


def made_uniform(slices):
    for data in slices:
        data.SeriesInstanceUID = slices[0].SeriesInstanceUID
    return slices


@pytest.mark.parametrize("name", IRREGULAR)
def test_irregular_stacks_are_named(name, tmp_path):
    make, message = IRREGULAR[name]
    folder = save(made_uniform(make()), tmp_path / "case7")
    for reader in (read_ct, read_geometry):
        with pytest.raises(UserError, match=message) as caught:
            reader(folder)
        assert str(folder) in str(caught.value)


def test_small_errors_of_rounding_are_none(tmp_path):
    """Places rounded to 0.01 mm, a tilt of 0.05 degrees."""
    slices = slices_of()
    for index, data in enumerate(slices):
        x, y, z = (float(v) for v in data.ImagePositionPatient)
        data.ImagePositionPatient = [x, y + 2.5 * index * np.deg2rad(0.05), round(z + 0.004, 2)]
    assert read_ct(save(slices, tmp_path / "s")).shape == (10, 5, 6)


def test_a_tilt_that_the_scanner_corrected(tmp_path):
    """The tag says tilt, the slices lie behind one another: a regular volume."""
    folder = save(slices_of(GantryDetectorTilt=12.0), tmp_path / "s")
    assert read_ct(folder).shape == (10, 5, 6)


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
    "cut short": ({}, cut, "cannot be read"),
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
