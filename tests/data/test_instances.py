import numpy as np
import pytest

from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.instances import instances_are_marked, instances_as_uint8, separated
from vfseg.data.volume import write_labels
from vfseg.errors import UserError


def case(folder, name, mask):
    path = folder / name / "fractures.nii.gz"
    write_labels(path, mask, geometry_from(mask.shape[::-1], np.eye(4)))
    return Case(name, name, folder / name / "ct.nii.gz", fractures=path)


def masks():
    one, two = np.zeros((4, 5, 6), np.uint8), np.zeros((4, 5, 6), np.uint8)
    one[0, 0, :2] = one[3, 4, 4:] = 1
    two[1], two[2] = 1, 2
    return one, two


def test_instances_are_marked_where_any_mask_tells_two_apart(tmp_path):
    one, two = masks()
    binary, told = case(tmp_path, "binary", one), case(tmp_path, "told", two)
    white = case(tmp_path, "white", one * np.uint8(255))
    broken = Case("broken", "broken", tmp_path, fractures=tmp_path / "missing.nii.gz")
    assert not instances_are_marked([binary, white, Case("none", "none", tmp_path), broken])
    assert instances_are_marked([binary, told])


def test_a_binary_mask_falls_into_components_an_instance_mask_stays():
    one, two = masks()
    one[1, 1, 2] = 1  # touches the first part by a corner
    parts = separated(one, marked=False)
    assert parts[0, 0, 0] == parts[1, 1, 2] != parts[3, 4, 5]
    assert set(np.unique(parts)) == {0, 1, 2}
    np.testing.assert_array_equal(parts > 0, one > 0)
    np.testing.assert_array_equal(separated(one * np.uint8(255), marked=False), parts)
    assert separated(two, marked=True) is two
    assert not separated(np.zeros_like(one), marked=False).any()


def test_more_than_65535_components_keep_their_ids_apart():
    mask = np.zeros((82, 82, 82), np.uint8)
    mask[::2, ::2, ::2] = 1
    assert separated(mask, marked=False).max() == 41**3 > 2**16


def test_ids_above_255_are_numbered_anew_and_too_many_are_refused():
    assert instances_as_uint8(np.array([0, 7, 255]), "mask").tolist() == [0, 7, 255]
    assert instances_as_uint8(np.array([0, 700, 300, 700]), "mask").tolist() == [0, 2, 1, 2]
    with pytest.raises(UserError, match="mask: 256 fracture instances, at most 255"):
        instances_as_uint8(np.arange(1, 600, 2)[:256], "mask")
