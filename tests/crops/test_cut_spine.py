"""Crops by a label map, a folder of masks, or boxes."""

import dataclasses

import numpy as np
import pytest

from tests.crops.two_vertebrae import BONES, SETTINGS, SHAPE, box, cut, owners, sheet, write_files
from vfseg.data.volume import write_labels
from vfseg.errors import UserError


def test_organs_are_no_neighbours(tmp_path):
    """In a map of many organs, only the spine takes part in the attribution."""
    case, geometry = write_files(tmp_path / "a")
    labels = np.zeros(SHAPE, np.uint8)
    labels[box(BONES[21])], labels[box(BONES[20])] = 30, 31  # totalsegmentator: L2, L1
    labels[28:46, 32:36, 8:40] = 52  # the aorta
    labels[0:3, 10:30, 8:40] = 25  # the sacrum
    write_labels(case.vertebrae, labels, geometry)
    settings = dataclasses.replace(SETTINGS, vertebra_scheme="totalsegmentator")
    found = owners(case, settings)
    write_labels(case.vertebrae, np.where(labels == 52, 0, labels).astype(np.uint8), geometry)
    np.testing.assert_array_equal(found, owners(case, settings))
    assert (found[1][:16] == 2).any()  # the sacrum, below L2; L1 begins above


def test_boxes_do_where_there_is_no_label_map(tmp_path):
    """Same crops from boxes around the same bones; what the crop shows counts, as none can tell."""
    by_map, _ = cut(write_files(tmp_path / "map", fractures=sheet(21))[0])
    by_box, boxed = cut(write_files(tmp_path / "box", fractures=sheet(21), boxes=True)[0])
    assert [c.level for c in by_box.crops] == ["L1", "L2"]
    for one, other in zip(by_map.crops, by_box.crops):
        assert np.abs(np.subtract(one.start, other.start)).max() <= 1
    shown = [int((f != 0).sum()) for f in boxed["fractures"]]
    assert [crop.fracture_voxels for crop in by_box.crops] == shown
    assert min(shown) > 0


def test_neither_map_nor_boxes_is_an_error(tmp_path):
    case, _ = write_files(tmp_path / "a")
    with pytest.raises(UserError, match="neither a vertebra label map nor a box file"):
        cut(dataclasses.replace(case, vertebrae=None))


def test_a_folder_of_masks_is_read_as_the_one_map(tmp_path):
    case, geometry = write_files(tmp_path / "a", fractures=sheet(20))
    for label, name in {20: "L1", 21: "L2"}.items():
        mask = np.zeros(SHAPE, np.uint8)
        mask[box(BONES[label])] = 1
        write_labels(tmp_path / "classes" / f"vertebrae_{name}.nii.gz", mask, geometry)
    apart = dataclasses.replace(case, vertebrae=tmp_path / "classes")
    settings = dataclasses.replace(SETTINGS, vertebra_scheme="totalsegmentator")
    record, arrays = cut(apart, settings)
    expected, as_one = cut(case)
    assert [c.start for c in record.crops] == [c.start for c in expected.crops]
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], as_one[name])
    np.testing.assert_array_equal(owners(apart, settings), owners(case))
