import numpy as np
import pytest

from vfseg.data.geometry import geometry_from
from vfseg.drawing.hanging import HANGINGS, oriented_mm, oriented_slice, picture_extent, view_box

AXIAL, SAGITTAL, CORONAL = HANGINGS
SHAPE = (5, 7, 9)  # superior, anterior, right
SPACING = np.array([3.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("hanging", "toward", "expected"),
    [
        (AXIAL, "right", "left"),  # radiological convention
        (AXIAL, "anterior", "top"),
        (CORONAL, "right", "left"),
        (CORONAL, "superior", "top"),
        (SAGITTAL, "anterior", "left"),
        (SAGITTAL, "superior", "top"),
    ],
)
def test_a_bright_voxel_lands_on_the_side_radiologists_expect(hanging, toward, expected):
    point = [2, 3, 4]
    axis = ("superior", "anterior", "right").index(toward)
    point[axis] = SHAPE[axis] - 1
    volume = np.zeros(SHAPE)
    volume[tuple(point)] = 1
    picture = oriented_slice(volume, hanging, point[hanging.axis])
    assert picture.shape == (SHAPE[hanging.rows], SHAPE[hanging.columns])
    row, column = np.argwhere(picture)[0]
    middle_row, middle_column = (np.array(picture.shape) - 1) / 2
    if expected == "top":
        assert (row, column) == (0, middle_column)
    else:
        assert (row, column) == (middle_row, 0)
    side = ("top", "bottom", "left", "right").index(expected)
    assert hanging.letters[side] == toward[0].upper()
    assert set(hanging.letters[side - side % 2 :][:2]) in ({"S", "I"}, {"A", "P"}, {"R", "L"})


def test_patient_s_right_is_on_the_left_whatever_the_orientation_of_the_file():
    """A voxel at known world millimetres, stored in RAS, LPS and PIR files."""
    world = np.array([30.0, 5.0, -4.0])  # 30 mm to the right of the origin
    for axes, signs in (((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (-1, -1, 1)), ((1, 2, 0), (-1, -1, 1))):
        affine = np.eye(4)
        affine[:3, :3] = 0
        for stored, (axis, sign) in enumerate(zip(axes, signs)):
            affine[axis, stored] = 2 * sign
        shape = np.array([41, 41, 41])
        affine[:3, 3] = -affine[:3, :3] @ ((shape - 1) / 2)
        index = np.rint(np.linalg.inv(affine) @ [*world, 1])[:3].astype(int)
        stored_volume = np.zeros(shape)
        stored_volume[tuple(index)] = 1
        canonical = geometry_from(tuple(shape), affine).to_canonical(stored_volume)
        d = np.argwhere(canonical)[0][0]
        row, column = np.argwhere(oriented_slice(canonical, AXIAL, d))[0]
        assert column == 20 - 15  # 30 mm / 2 mm to the left of the middle
        assert row in (20 - 3, 20 - 2)  # 5 mm up: 2.5 voxels, rounded either way


@pytest.mark.parametrize("hanging", HANGINGS)
def test_points_in_mm_agree_with_the_pixels(hanging):
    point = (1, 5, 2)
    volume = np.zeros(SHAPE)
    volume[point] = 1
    row, column = np.argwhere(oriented_slice(volume, hanging, point[hanging.axis]))[0]
    x, y = oriented_mm(point, hanging, SHAPE, SPACING)
    assert x == column * SPACING[hanging.columns]
    assert y == row * SPACING[hanging.rows]
    left, right, bottom, top = picture_extent(hanging, SHAPE, SPACING)
    assert right - left == SHAPE[hanging.columns] * SPACING[hanging.columns]
    assert bottom - top == SHAPE[hanging.rows] * SPACING[hanging.rows]
    assert left == -SPACING[hanging.columns] / 2
    assert top == -SPACING[hanging.rows] / 2


def test_view_box_is_centred_moved_inside_and_cut_where_the_volume_is_smaller():
    spacing = np.array([2.0, 1.0, 1.0])
    box = view_box((50, 3, 5), (100, 200, 12), spacing, 40.0)
    assert box[0] == slice(40, 60)  # 40 mm / 2 mm = 20 voxels about 50
    assert box[1] == slice(0, 40)  # moved off the border
    assert box[2] == slice(0, 12)  # smaller than 40 mm: all of it
    assert view_box((99, 0, 0), (100, 200, 12), spacing, 40.0)[0] == slice(80, 100)
