import numpy as np
import pytest

from vfseg.evaluation.surface import TOLERANCE_MM, compare_surfaces, surface_points


def slow_surface(mask):
    """Voxels with a face neighbour outside the mask, one by one."""
    padded = np.pad(mask, 1)
    points = []
    for d, h, w in np.argwhere(mask):
        own = d + 1, h + 1, w + 1
        for axis in range(3):
            for step in (-1, 1):
                other = list(own)
                other[axis] += step
                if not padded[tuple(other)]:
                    points.append((d, h, w))
    return sorted(set(points))


@pytest.mark.parametrize("seed", range(6))
def test_points_and_distances_equal_brute_force(seed):
    rng = np.random.default_rng(seed)
    spacing = np.array([1.5, 0.7, 0.9])
    masks = [rng.random((7, 8, 9)) < share for share in (0.3, 0.5)]
    masks[0][:2] = masks[1][:, :3] = False
    points = [np.array(slow_surface(mask)) * spacing for mask in masks]
    for mask, expected in zip(masks, points):
        np.testing.assert_allclose(surface_points(mask, spacing), expected)
    apart = np.sqrt(((points[0][:, None] - points[1]) ** 2).sum(-1))
    one, other = apart.min(1), apart.min(0)
    found = compare_surfaces(*masks, spacing)
    assert found.hd95_mm == pytest.approx(max(np.percentile(one, 95), np.percentile(other, 95)))
    assert found.near == (one <= TOLERANCE_MM).sum() + (other <= TOLERANCE_MM).sum()
    assert found.points == len(one) + len(other)
    assert found.surface_dice == found.near / found.points


def test_a_moved_sheet_is_as_far_away_as_it_was_moved():
    sheet = np.zeros((12, 9, 9), bool)
    sheet[3, 2:7, 2:7] = True
    spacing = np.array([0.8, 1.0, 1.0])
    for voxels, near in ((0, True), (2, True), (3, False)):  # 0, 1.6 and 2.4 mm
        found = compare_surfaces(np.roll(sheet, voxels, 0), sheet, spacing)
        assert found.hd95_mm == pytest.approx(0.8 * voxels)
        assert found.surface_dice == float(near)
    # Exactly the tolerance still counts.
    assert compare_surfaces(np.roll(sheet, 2, 0), sheet, np.ones(3)).surface_dice == 1


def test_without_a_mask_there_is_no_distance_but_a_missed_surface():
    empty, one = np.zeros((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    one[1, 1, 1] = True
    for pair in ((empty, one), (one, empty)):
        found = compare_surfaces(*pair, np.ones(3))
        assert (found.hd95_mm, found.surface_dice, found.points) == (None, 0.0, 1)
    assert compare_surfaces(empty, empty, np.ones(3)).surface_dice is None
