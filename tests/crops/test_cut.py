"""Crops lie where they say and show what was there."""

import dataclasses

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from tests.crops.two_vertebrae import (
    OBLIQUE,
    SETTINGS,
    SHAPE,
    SPACING,
    cut,
    owners,
    ramp,
    sheet,
    write_files,
)
from vfseg.data.dicom_slice import PADDING_HU
from vfseg.data.settings import PLANE_AXES
from vfseg.errors import UserError


def test_crops_are_what_a_naive_reading_gives_at_the_same_millimetres(tmp_path):
    """Every voxel of a crop is looked up in the CT by its own affine, in mm."""
    case, geometry = write_files(tmp_path / "a", fractures=sheet(20) + sheet(21, 2))
    volume = np.rint(ramp(geometry.affine))
    record, arrays = cut(case, dataclasses.replace(SETTINGS, voxel_spacing=1.2))
    assert [crop.level for crop in record.crops] == ["L1", "L2"]
    assert arrays["ct"].dtype == np.int16
    fine = record.crop_shape
    for number, crop in enumerate(record.crops):
        mm = apply_affine(np.array(crop.affine), np.stack(np.indices(fine), -1))
        index = np.moveaxis(apply_affine(np.linalg.inv(geometry.affine), mm), -1, 0)
        # 1.2 mm is finer than any spacing of the CT: plain linear interpolation, no filter.
        linear = ndimage.map_coordinates(
            volume, index, order=1, mode="grid-constant", cval=PADDING_HU
        )
        assert np.abs(arrays["ct"][number] - linear).max() <= 1
        nearest = np.floor(index + 0.5 + 1e-4).astype(int)
        inside = np.all([(i >= 0) & (i < n) for i, n in zip(nearest, SHAPE)], axis=0)
        lookup = (sheet(20) + sheet(21, 2))[tuple(np.where(inside, nearest, 0))] * inside
        np.testing.assert_array_equal(arrays["fractures"][number], lookup)


def test_each_crop_has_its_own_affine_in_mm(tmp_path):
    """The HU ramp tells the place of a voxel; the crop's affine must say the same."""
    case, geometry = write_files(tmp_path / "a")
    record, arrays = cut(case)
    affines = [np.array(crop.affine) for crop in record.crops]
    for crop, affine, values in zip(record.crops, affines, arrays["ct"]):
        np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), 2.0)
        grid = np.stack(np.indices(SETTINGS.crop_shape), -1)
        mm = apply_affine(affine, grid)
        ct_index = apply_affine(np.linalg.inv(geometry.affine), mm)
        well_inside = np.all((ct_index > 2) & (ct_index < np.array(SHAPE) - 3), axis=-1)
        assert well_inside.sum() > 4000
        # Linear resampling, also when it filters, keeps a ramp; the CT and the crop are rounded.
        assert np.abs(values - (mm @ [3, 5, 7] + 2500))[well_inside].max() <= 1.01
        # the first voxel is `start` on the case grid
        case_grid = np.array(crop.start) * 2.0 / np.array(SPACING)
        np.testing.assert_allclose(affine[:3, 3], apply_affine(geometry.affine, case_grid))
    middles = [apply_affine(a, (np.array(SETTINGS.crop_shape) - 1) / 2) for a in affines]
    # Bones are 24 voxels of 1.5 mm apart along d; the grid of 2 mm rounds each to its half.
    assert np.linalg.norm(middles[0] - middles[1]) == pytest.approx(36, abs=2)


def test_what_lies_beyond_the_ct_is_padded_with_air_and_nothing_is_stretched(tmp_path):
    ct = np.full(SHAPE, 40, np.int16)
    ct[0, 0] = -1000  # far from what is looked at: without air they would be no Hounsfield units
    case, _ = write_files(tmp_path / "a", ct=ct)
    wide = dataclasses.replace(SETTINGS, crop_shape=(24, 24, 64))  # 128 mm of 60 mm
    record, arrays = cut(case, wide)
    for crop, values in zip(record.crops, arrays["ct"]):
        assert values.shape == (24, 24, 64)
        index = (np.array(crop.start)[:, None] + np.arange(64)) * 2.0 / np.array(SPACING)[:, None]
        w = index[2]
        row = values[12, 12]
        np.testing.assert_array_equal(row[(w >= 1) & (w <= SHAPE[2] - 2)], 40)
        np.testing.assert_array_equal(row[(w < -2) | (w > SHAPE[2] + 1)], PADDING_HU)
        assert (row == PADDING_HU).sum() >= 30  # (128 - 60) / 2 less the rims
    assert owners(case, wide)[0].any(axis=(0, 1)).sum() == 20  # 40 mm of bone remain 40 mm


def test_masks_tell_the_own_vertebra_from_its_neighbour(tmp_path):
    case, _ = write_files(tmp_path / "a")
    upper, lower = owners(case)
    assert set(np.unique(upper)) == set(np.unique(lower)) == {0, 1, 2}
    d = np.arange(SETTINGS.crop_shape[0])[:, None, None]
    assert (d * (upper == 1)).max() > (d * (upper == 2)).max()  # the neighbour is below
    assert (d * (lower == 1)).max() < (d * (lower == 2)).max()
    # L1 is 27 x 40 x 40 mm = 43.2 mL and lies in its crop as a whole; voxels of 8 mm3
    assert (upper == 1).sum() * 0.008 == pytest.approx(43.2, rel=0.15)


def test_the_neighbours_fracture_is_shown_but_not_attributed(tmp_path):
    """L2 is fractured, and its sheet lies in the crop of L1."""
    case, _ = write_files(tmp_path / "a", fractures=sheet(21))
    record, arrays = cut(case)
    upper, lower = record.crops
    assert (upper.level, lower.level) == ("L1", "L2")
    assert upper.fracture_voxels == 0
    # 3 x 16 x 28 voxels of 1.5 x 2 x 1.25 mm, in voxels of 8 mm3
    assert lower.fracture_voxels == pytest.approx(3 * 16 * 28 * 3.75 / 8, rel=0.4)
    for crop, shown in zip(record.crops, arrays["fractures"]):
        assert shown.any()
        for plane, axis in PLANE_AXES.items():
            slices = [i for i in range(shown.shape[axis]) if np.take(shown, i, axis).any()]
            assert crop.fractured_slices[plane] == slices
    assert lower.fracture_voxels == (arrays["fractures"][1] != 0).sum()


def test_instances_keep_their_ids(tmp_path):
    case, _ = write_files(tmp_path / "a", fractures=sheet(20, 3) + sheet(21, 255))
    _, arrays = cut(case)
    assert set(np.unique(arrays["fractures"])) == {0, 3, 255}


def test_ids_above_255_are_numbered_anew_never_wrapped(tmp_path):
    """256 would wrap to 0, and a fracture be gone; 257 to 1, and two be one."""
    fractures = sheet(20, 256, np.uint16) + sheet(21, 1025, np.uint16)
    case, _ = write_files(tmp_path / "a", fractures=fractures)
    record, arrays = cut(case)
    assert set(np.unique(arrays["fractures"])) == {0, 1, 2}
    assert all(crop.fracture_voxels for crop in record.crops)
    own = [np.unique(f[(f != 0) & (v == 1)]).tolist()
           for f, v in zip(arrays["fractures"], owners(case))]  # fmt: skip
    assert own == [[1], [2]]  # in the order of the ids in the file


def test_more_instances_than_can_be_told_apart_are_refused(tmp_path):
    fractures = np.zeros(SHAPE, np.uint16)
    fractures[20:40, 10:30, 10:30] = np.arange(8000).reshape(20, 20, 20)
    case, _ = write_files(tmp_path / "a", fractures=fractures)
    with pytest.raises(UserError, match=r"fractures\.nii\.gz: \d+ fracture instances"):
        cut(case)


def test_a_fracture_mask_of_another_grid_is_refused(tmp_path):
    case, _ = write_files(tmp_path / "a", fractures=sheet(20))
    moved = OBLIQUE.copy()
    moved[0, 3] += 5
    other, _ = write_files(tmp_path / "b", fractures=sheet(20), affine=moved)
    with pytest.raises(UserError, match="does not lie on the grid"):
        cut(dataclasses.replace(case, fractures=other.fractures))
