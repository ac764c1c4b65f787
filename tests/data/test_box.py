import numpy as np
import pytest
from scipy import ndimage

from vfseg.data.box import (
    bounding_box,
    box_between,
    grown,
    intersection,
    is_empty,
    label_boxes,
    moved,
    overlap,
    part_of,
    shape_of,
    start_of,
    whole,
    within,
)

SHAPE = (8, 9, 7)


def random_box(rng):
    ends = np.sort([rng.integers(0, size + 1, 2) for size in SHAPE], axis=1)
    return box_between(*ends.T)


def set_in(box):
    volume = np.zeros(SHAPE, bool)
    volume[box] = True
    return volume


def test_a_box_knows_where_it_starts_and_how_large_it_is():
    box = box_between(np.array([1, 2, 3]), (4, 6, 8))
    assert box == (slice(1, 4), slice(2, 6), slice(3, 8))
    assert all(type(side.start) is int and type(side.stop) is int for side in box)
    assert (start_of(box), shape_of(box)) == ((1, 2, 3), (3, 4, 5))
    assert whole(SHAPE) == (slice(0, 8), slice(0, 9), slice(0, 7))
    assert not is_empty(box)
    assert is_empty(box_between((1, 2, 3), (4, 2, 8)))


@pytest.mark.parametrize("seed", range(20))
def test_an_intersection_holds_the_voxels_of_both(seed):
    rng = np.random.default_rng(seed)
    a, b = random_box(rng), random_box(rng)
    both = set_in(a) & set_in(b)
    common = intersection(a, b)
    np.testing.assert_array_equal(set_in(common), both)
    assert is_empty(common) == (not both.any())
    assert min(shape_of(common)) >= 0
    index = np.arange(both.size).reshape(SHAPE)
    for box, own in zip((a, b), overlap(a, b)):
        assert shape_of(own) == shape_of(common)
        np.testing.assert_array_equal(index[box][own], index[common])


def test_a_box_within_another_is_read_from_what_that_cuts_out():
    index = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    outer, box = box_between((1, 2, 3), (7, 9, 7)), box_between((2, 4, 3), (5, 6, 6))
    np.testing.assert_array_equal(index[outer][within(box, outer)], index[box])


@pytest.mark.parametrize("seed", range(20))
def test_a_grown_box_holds_what_lies_within_its_margin(seed):
    rng = np.random.default_rng(seed)
    box, margin = random_box(rng), rng.integers(0, 4, 3)
    if is_empty(box):
        return
    near = np.ones(SHAPE, bool)
    for axis, index in enumerate(np.indices(SHAPE)):
        side = box[axis]
        near &= (index >= side.start - margin[axis]) & (index < side.stop + margin[axis])
    np.testing.assert_array_equal(set_in(grown(box, margin, SHAPE)), near)
    assert within(moved(box, margin), moved(box, margin)) == whole(shape_of(box))
    assert start_of(moved(box, margin)) == tuple(start_of(box) + margin)


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_a_boxed_volume_equal_parts_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    held, wanted = random_box(rng), random_box(rng)
    volume = np.zeros(SHAPE, np.float32)
    volume[held] = rng.random(volume[held].shape)
    part = part_of(volume[held], held, wanted)
    np.testing.assert_array_equal(part, volume[wanted])
    assert part.dtype == np.float32


def test_the_box_around_what_is_set():
    mask = np.zeros((5, 6, 7), bool)
    assert is_empty(bounding_box(mask))
    mask[1, 2, 3] = mask[3, 2, 5] = True
    assert bounding_box(mask) == (slice(1, 4), slice(2, 3), slice(3, 6))
    assert bounding_box(mask * np.uint8(7)) == bounding_box(mask)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("flip", [1, -1])
def test_the_boxes_of_labels_are_those_that_go_through_every_voxel(seed, flip):
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint16)
    for label in (300, 2, 7):
        labels[random_box(rng)] = label
    labels = labels.transpose(2, 0, 1)[::flip]
    boxes = enumerate(ndimage.find_objects(labels), 1)
    assert label_boxes(labels) == {label: box for label, box in boxes if box is not None}
    assert label_boxes(np.zeros(SHAPE, np.uint8)) == {}
