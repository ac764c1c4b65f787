"""The volumes of the viewer: where they lie, and how far from what was read."""

import dataclasses
import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.report.scene import SPACING, make_scene, without_spine
from vfseg.report import view_grid
from vfseg.report.view_grid import packed, view_volumes


def opened(content):
    """A packed volume with axes d, h, w again."""
    image = nib.Nifti1Image.from_bytes(gzip.decompress(content))
    turned = image.affine[:, [2, 1, 0, 3]]
    return nib.Nifti1Image(np.asarray(image.dataobj).T, turned)


def test_a_small_ct_keeps_its_own_voxels_and_its_place():
    scene = make_scene()
    volumes = view_volumes(scene)
    ct = opened(packed(volumes.ct, volumes.grid, view_grid.HU_STEP, view_grid.LOWEST_HU))
    # Vertebrae of d 8..42, h 25..50, w 8..28 with 25 mm around them, as far as the CT goes.
    margin = np.ceil(25 / np.array(SPACING))
    low = np.maximum(np.array([8, 25, 8]) - margin, 0).astype(int)
    high = np.minimum(np.array([42, 50, 28]) + margin, scene.ct.shape).astype(int)
    assert ct.shape == tuple(high - low)
    np.testing.assert_allclose(
        apply_affine(ct.affine, [0, 0, 0]), apply_affine(scene.ct.affine, low), atol=1e-4
    )
    part = tuple(slice(a, b) for a, b in zip(low, high))
    assert np.abs(ct.get_fdata() - scene.ct.array[part]).max() <= view_grid.HU_STEP / 2
    shown = opened(packed(volumes.probability, volumes.grid, 1 / 255)).get_fdata()
    assert np.abs(shown - scene.probability[part]).max() <= 0.5 / 255 + 1e-6


def test_the_truth_is_outlined_by_the_voxels_around_it():
    scene = make_scene()
    volumes = view_volumes(scene)
    start = volumes.grid.origin.astype(int)
    expected = set()
    inside = {tuple(voxel) for voxel in np.argwhere(scene.reference.instances) - start}
    for d, h, w in inside:
        for axis, step in itertools.product(range(3), (-1, 1)):
            beside = [d, h, w]
            beside[axis] += step
            expected.add(tuple(beside))
    assert {tuple(voxel) for voxel in np.argwhere(volumes.truth)} == expected - inside


def test_hounsfield_units_beyond_the_steps_are_cut_off():
    scene = make_scene()
    scene.ct.array[20, 30, 10], scene.ct.array[21, 30, 10] = 3000, -1024
    codes = view_volumes(scene).ct
    assert {codes.min(), codes.max()} == {0, 255}


def test_a_large_ct_is_coarsened_alike_along_every_axis_that_is_fine(monkeypatch):
    scene = make_scene()
    fine = view_volumes(scene)
    limit = fine.ct.size // 8
    monkeypatch.setattr(view_grid, "_MOST_VOXELS", limit)
    coarse = view_volumes(scene)
    assert limit * 0.5 < coarse.ct.size <= limit * 1.3
    spacing = np.linalg.norm(coarse.grid.affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, spacing[0])
    # The same place has the same value: the middle of L1, far from its border.
    centre = scene.spine.vertebrae[0].centre
    index = tuple(np.rint(coarse.grid.index_of(centre)).astype(int))
    assert coarse.ct[index] == (300 + 1000) / 10


def test_the_uncertainty_is_shown_up_to_its_highest_value():
    scene = make_scene()
    spread = np.zeros(scene.ct.shape, np.float32)
    spread[20, 30, 10], spread[20, 30, 11] = 0.2, 0.1
    volumes = view_volumes(dataclasses.replace(scene, uncertainty=spread))
    assert volumes.most_uncertain == pytest.approx(0.2)
    assert sorted(np.unique(volumes.uncertainty)) == [0, 128, 255]


def test_without_vertebrae_the_map_says_where_to_look():
    scene = without_spine(make_scene())
    volumes = view_volumes(scene)
    # The map is above 0 at d 14..37, h 30..47, w 10..25, with 25 mm around.
    low = np.maximum(np.array([14, 30, 10]) - np.ceil(25 / np.array(SPACING)), 0)
    np.testing.assert_array_equal(volumes.grid.origin, low)
    nothing = dataclasses.replace(scene, probability=np.zeros(scene.ct.shape, np.float32))
    assert view_volumes(nothing).grid.shape == scene.ct.shape


def test_behind_the_header_a_packed_volume_is_the_bytes_of_its_array_and_its_range_is_known():
    volumes = view_volumes(make_scene())
    content = gzip.decompress(packed(volumes.ct, volumes.grid, 10.0, -1000.0))
    assert content[-volumes.ct.size :] == volumes.ct.tobytes()
    header = nib.Nifti1Image.from_bytes(content).header
    assert (header["cal_min"], header["cal_max"]) == (-1000, 1550)


def test_equal_volumes_are_packed_into_equal_bytes():
    volumes = view_volumes(make_scene())
    assert packed(volumes.ct, volumes.grid) == packed(volumes.ct.copy(), volumes.grid)
