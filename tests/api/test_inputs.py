"""What lies in memory as the files that the rest reads: the same voxels, grid and numbers."""

import nibabel as nib
import numpy as np
import pytest

from vfseg.api.inputs import POINT_AXES, image_file, named_as_given, table_file
from vfseg.data.boxes import BOX_EDGES
from vfseg.data.volume import read_ct, read_labels
from vfseg.errors import CannotWrite, UserError
from vfseg.files import read_table

AFFINE = np.array([[0, 0, -2.0, 9], [1.5, 0, 0, -7], [0, 1.0, 0, 3], [0, 0, 0, 1]])
VALUES = np.random.default_rng(0).integers(-1000, 1500, (4, 5, 6))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32, np.float64])
def test_an_array_is_read_back_as_it_was(tmp_path, dtype):
    path = image_file((VALUES.astype(dtype), AFFINE), tmp_path / "ct.nii")
    ct = read_ct(path)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), VALUES)
    np.testing.assert_allclose(ct.geometry.stored_affine, AFFINE)


def test_labels_of_any_kind_are_labels(tmp_path):
    for number, labels in enumerate((VALUES > 0, np.abs(VALUES), (VALUES % 25).astype(np.uint64))):
        volume = read_labels(image_file((labels, AFFINE), tmp_path / f"{number}.nii"))
        np.testing.assert_array_equal(volume.geometry.to_stored(volume.array), labels)


def test_an_image_with_a_slope_keeps_its_values_and_its_header(tmp_path):
    stored = nib.Nifti1Image(VALUES.astype(np.int16), AFFINE)
    stored.set_sform(AFFINE, 2)
    stored.set_qform(AFFINE, 1)
    stored.header.set_slope_inter(0.5, -3)
    nib.save(stored, tmp_path / "scaled.nii.gz")
    image = nib.load(tmp_path / "scaled.nii.gz")
    again = nib.load(image_file(image, tmp_path / "ct.nii"))
    np.testing.assert_array_equal(again.get_fdata(), image.get_fdata())
    for code in ("sform_code", "qform_code"):
        assert again.header[code] == image.header[code]


def test_a_path_is_taken_as_it_is(tmp_path):
    assert image_file(str(tmp_path / "x.nii.gz"), tmp_path / "ct.nii") == tmp_path / "x.nii.gz"
    assert table_file(tmp_path / "x.csv", BOX_EDGES, tmp_path / "b.csv") == tmp_path / "x.csv"
    assert not list(tmp_path.iterdir())


def test_places_are_a_table(tmp_path):
    third = 1 / 3
    path = table_file({"L1": (third, 2, -3), "L2": (4, 5, 6)}, POINT_AXES, tmp_path / "p.csv")
    columns, rows = read_table(path)
    assert columns == ["level", "x", "y", "z"]
    assert float(rows[0].cells["x"]) == third, "no digit is lost"
    assert [row.cells["level"] for row in rows] == ["L1", "L2"]


@pytest.mark.parametrize("image", [None, 3, [VALUES, AFFINE], (VALUES,)])
def test_another_kind_is_named(tmp_path, image):
    with pytest.raises(TypeError, match="ct: expected a path, an image of nibabel or"):
        image_file(image, tmp_path / "ct.nii")
    with pytest.raises(TypeError, match="p: expected a path or a mapping"):
        table_file([1], POINT_AXES, tmp_path / "p.csv")


@pytest.mark.parametrize("numbers", [(1, 2), (1, 2, 3, 4), 1, ("a", 2, 3), None])
def test_a_level_has_as_many_numbers_as_there_are_columns(tmp_path, numbers):
    with pytest.raises(UserError, match=r"p: L1 has .*, expected 3 numbers: x, y, z"):
        table_file({"L1": numbers}, POINT_AXES, tmp_path / "p.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("affine", [np.eye(3), np.ones(16), 1.0])
def test_an_affine_is_four_by_four(tmp_path, affine):
    with pytest.raises(UserError, match=r"ct: an affine of shape \(.*\), expected \(4, 4\)"):
        image_file((VALUES, affine), tmp_path / "ct.nii")


def test_messages_do_not_name_a_folder_that_nobody_gave(tmp_path):
    """Unless it is full."""
    with pytest.raises(UserError) as raised, named_as_given(tmp_path):
        raise UserError(f"{tmp_path}/ct.nii does not lie on the grid of {tmp_path}/labels.nii")
    assert str(raised.value) == "ct.nii does not lie on the grid of labels.nii"
    full = pytest.raises(CannotWrite, match=f"{tmp_path}/mask.nii.gz: disk full")
    with full, named_as_given(tmp_path):
        raise CannotWrite(f"{tmp_path}/mask.nii.gz: disk full")
