"""Floors against slow twins, and against values that follow from the geometry."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.evaluation.floors import (
    BLUR_MM,
    Floors,
    KnownVoxels,
    Likelihood,
    blurred,
    crop_region,
    fractured_vertebrae,
    moved,
)


def case(seed, shape=(14, 16, 18)):
    """Noise with a brighter sheet in one of two vertebrae."""
    rng = np.random.default_rng(seed)
    ct = rng.integers(0, 300, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[1:7, 3:13, 3:15] = 20
    labels[8:13, 3:13, 3:15] = 21
    truth = np.zeros(shape, np.uint8)
    truth[4:6, 4:12, 4:14] = 1
    ct[truth > 0] += 150
    region = np.zeros(shape, bool)
    region[:, 2:-2, 2:-2] = True
    return KnownVoxels(in_millimetres(ct), labels, truth, region)


def in_millimetres(ct, spacing=(1.0, 1.0, 1.0)):
    """A CT of this voxel spacing (d, h, w)."""
    return Volume(ct, geometry_from(ct.shape[::-1], np.diag([*spacing[::-1], 1.0])))


def crop(*start):
    return SimpleNamespace(start=start)


def test_the_region_is_the_union_of_the_boxes_voxel_by_voxel():
    affine = np.diag([0.9, 1.1, 1.6, 1])  # stored right, anterior, superior
    geometry = geometry_from((21, 19, 14), affine)
    crops, shape, spacing = [crop(-3, 2, 1), crop(4, 5, 6)], (8, 9, 10), 1.25
    region = crop_region(crops, shape, geometry, spacing)
    assert region.shape == geometry.shape == (14, 19, 21)
    for index in np.ndindex(region.shape):
        nearest = np.floor(index * geometry.voxel_spacing / spacing + 0.5)
        inside = any(
            all(a <= n < a + size for n, a, size in zip(nearest, c.start, shape)) for c in crops
        )
        assert region[index] == inside
    assert not crop_region([], shape, geometry, spacing).any()


def test_the_blur_is_in_millimetres():
    ct = np.zeros((31, 31, 31), np.int16)
    ct[15, 15, 15] = 30_000
    spacing = np.array([1.0, 0.8, 1.25])
    smooth = blurred(in_millimetres(ct, spacing))
    assert smooth.sum() == pytest.approx(30_000, rel=1e-3)
    for axis in range(3):
        profile = smooth.sum(tuple({0, 1, 2} - {axis}))
        place = (np.arange(31) - 15) * spacing[axis]
        # A Gaussian cut at 2.5 SD keeps 0.91 of the variance.
        assert np.sqrt((profile * place**2).sum() / profile.sum()) == pytest.approx(
            BLUR_MM * np.sqrt(0.91), rel=0.04
        )


def test_the_likelihood_is_the_ratio_of_two_densities():
    fitted = Likelihood()
    known = case(1)
    ct, truth, region = known.ct.array, known.truth, known.region
    smooth = blurred(known.ct)
    fitted.add(known)
    assert fitted.counts.sum() == region.sum()
    assert fitted.counts[1].sum() == np.count_nonzero(truth[region])

    def cell(hu):
        return min(max(int(np.floor((hu + 200) / 25)), 0), 59)

    def density(positive, hu, soft):
        chosen = region & ((truth > 0) == positive)
        same = sum(
            cell(a) == cell(hu) and cell(b) == cell(soft)
            for a, b in zip(ct[chosen], smooth[chosen])
        )
        return (same + 1) / (chosen.sum() + 60 * 60)

    scores = fitted.score(known.ct)
    assert scores.dtype == np.float32
    for index in ((4, 5, 6), (10, 8, 8), (0, 0, 0)):
        a, b = (density(p, ct[index], smooth[index]) for p in (True, False))
        assert scores[index] == pytest.approx(a / (a + b), rel=1e-5)
    for hounsfield in (-3000, 3000):  # nothing was seen there
        far = fitted.score(in_millimetres(np.full((2, 2, 2), hounsfield, np.int16)))
        np.testing.assert_allclose(far, 0.5, atol=0.35)


def test_an_oracle_needs_twenty_cubic_millimetres_in_the_vertebra_itself():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0], labels[2] = 20, 21
    truth = np.zeros_like(labels)
    truth[0, :2, :5] = 1  # 8 voxels in 20
    truth[2, 0, 0] = 2  # one in 21
    truth[1] = 3  # none of any vertebra
    spacing = np.full(3, 1.5)  # 3.375 mm3 a voxel: 27 and 3.4 mm3
    np.testing.assert_array_equal(fractured_vertebrae(labels, truth, spacing), labels == 20)
    assert not fractured_vertebrae(labels, truth, np.ones(3)).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("voxels", [0.5, 1.0, 0.3])
def test_moving_equals_a_general_shift(axis, voxels):
    mask = np.random.default_rng(axis).random((7, 8, 9)) > 0.6
    offsets = [voxels if a == axis else 0 for a in range(3)]
    twin = ndimage.shift(mask.astype(float), offsets, order=1, mode="grid-constant") >= 0.5 - 1e-9
    np.testing.assert_array_equal(moved(mask, voxels, axis), twin)


def test_dice_of_a_moved_slab_follows_from_its_thickness():
    known = case(2)
    known.truth[...] = 0
    known.truth[5:8, 4:12, 4:14] = 1  # 3 by 8 by 10 voxels, inside the region
    floors = Floors()
    floors.add(known, Likelihood())
    figures = floors.figures()
    for name, size in zip("dhw", (3, 8, 10)):
        # One voxel on: size - 1 in common. Half a voxel: one voxel thicker, size in common.
        assert figures[f"dice_moved_1_{name}"] == pytest.approx((size - 1) / size)
        assert figures[f"dice_moved_0.5_{name}"] == pytest.approx(2 * size / (2 * size + 1))


def test_floors_of_cases_add_up_and_rise_with_what_is_known():
    fitted = Likelihood()
    for seed in (1, 2):
        fitted.add(case(seed))
    parts, total = [], Floors()
    for seed in (3, 4):
        parts.append(Floors())
        for floors in (parts[-1], total):
            floors.add(case(seed), fitted)
    figures = (parts[0] + parts[1]).figures()
    assert figures == total.figures()
    assert total.cases == (parts[0] + parts[1]).cases == 2
    known = case(3)
    assert figures["prevalence"] == pytest.approx((known.truth[known.region] > 0).mean())
    assert (
        figures["prevalence"]
        < figures["pr_auc_hu_threshold"]
        < figures["pr_auc_hu_likelihood"]
        < figures["pr_auc_vertebra_oracle"]
        < 1
    )


def test_without_a_fracture_there_is_no_floor():
    known = case(5)
    floors = Floors()
    floors.add(known._replace(truth=0 * known.truth), Likelihood())
    figures = floors.figures()
    assert figures.pop("prevalence") == 0
    assert set(figures.values()) == {None}
