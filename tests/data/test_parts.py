"""Labels in several parts: the vertebra, and islands."""

import numpy as np
import pytest

from tests.data.built_spine import as_volume, ids_of, numbered, spine
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.box import whole
from vfseg.data.parts import parts_of
from vfseg.data.schemes import LEVELS
from vfseg.data.spine import Spine
from vfseg.evaluation.heights import MeasuredBody, measure_spine
from vfseg.evaluation.regions import vertebra_regions


def blocks(*boxes, shape=(60, 60, 60)):
    """A map of 2 mm voxels with label 3 in these boxes."""
    array = np.zeros(shape, np.uint8)
    for box in boxes:
        array[tuple(slice(a, b) for a, b in box)] = 3
    return as_volume(array)


BODY = ((20, 32), (20, 40), (20, 40))
ARCH = ((22, 30), (12, 18), (24, 36))  # 4 mm behind the body, an eighth of its voxels
FAR = ((50, 52), (50, 52), (5, 7))
NEAR = ((35, 36), (20, 21), (20, 21))  # one voxel, 8 mm above
SPECK = ((33, 34), (20, 21), (20, 21))  # one voxel, a gap of one voxel above
HALF = ((33, 40), (20, 40), (20, 40))  # the other half of a split body
BESIDE = ((40, 52), (20, 38), (20, 38))  # another vertebra of the same id, 16 mm above


def voxels(box):
    return int(np.prod([b - a for a, b in box]))


@pytest.mark.parametrize(
    ("boxes", "own", "count"),
    [
        ([BODY], [BODY], 1),
        ([BODY, FAR], [BODY], 2),
        ([BODY, ARCH], [BODY, ARCH], 2),
        ([BODY, ARCH, FAR, NEAR], [BODY, ARCH], 4),
        ([BODY, NEAR], [BODY], 2),
        ([BODY, SPECK], [BODY, SPECK], 1),
        ([BODY, SPECK, FAR], [BODY, SPECK], 2),
        ([BODY, HALF], [BODY, HALF], 2),
        ([BODY, BESIDE], [BODY], 2),
    ],
)
def test_the_largest_part_and_large_ones_beside_it(boxes, own, count):
    labels = blocks(*boxes)
    parts = parts_of(labels, 3, whole(labels.shape))
    wanted = np.zeros(labels.shape, bool)
    for box in own:
        wanted[tuple(slice(a, b) for a, b in box)] = True
    found = np.zeros(labels.shape, bool)
    found[parts.box][parts.inside] = True
    np.testing.assert_array_equal(found, wanted)
    assert parts.count == count
    rest = np.argwhere((labels.array == 3) & ~wanted)
    np.testing.assert_array_equal(np.sort(parts.islands, axis=0), np.sort(rest, axis=0))
    assert len(rest) == sum(map(voxels, boxes)) - sum(map(voxels, own))


def test_parts_that_touch_by_a_corner_are_one():
    labels = blocks(((10, 12), (10, 12), (10, 12)), ((12, 14), (12, 14), (12, 14)))
    assert parts_of(labels, 3, whole(labels.shape)).count == 1


def test_many_specks_in_a_large_volume_take_no_time():
    """Each in planes of its own: as many runs along every axis."""
    labels = blocks(BODY, shape=(300, 300, 300))
    index = np.arange(60, 300, 2)
    labels.array[index, index, index] = 3
    parts = parts_of(labels, 3, whole(labels.shape))
    assert parts.count == 1 + len(index)
    assert parts.inside.sum() == voxels(BODY)


PLACES = {"far": (4, 4, 4), "within its own box": None, "beside another": (100, 5, 30)}


class TestIslandsOfASpine:
    """The reading of a map with islands is that of the map without."""

    @pytest.fixture(scope="class")
    def clean(self):
        return numbered(spine()[0], ids_of("verse"))

    @pytest.mark.parametrize("scheme", [None, "verse"])
    @pytest.mark.parametrize("label", [11, 18, 20, 24])
    @pytest.mark.parametrize("place", PLACES)
    def test_equals_the_clean_map(self, clean, label, scheme, place):
        spoilt = clean.copy()
        at = PLACES[place]
        if at is None:  # in a corner of its own box, which it does not touch
            box = np.argwhere(clean == label)
            at = (box[:, 0].max(), box[:, 1].max(), box[:, 2].min())
        island = tuple(slice(a, a + 2) for a in at)
        assert not spoilt[island].any()
        spoilt[island] = label
        before = read_vertebrae(as_volume(clean), scheme, "m")
        after = read_vertebrae(as_volume(spoilt), scheme, "m")
        assert after.scheme == before.scheme == "verse"
        np.testing.assert_array_equal(after.labels.array, clean)
        for one, other in zip(before.vertebrae, after.vertebrae, strict=True):
            assert (one.level, one.label, one.start, one.stop) == (
                *(other.level, other.label, other.start, other.stop),
            )
            np.testing.assert_array_equal(one.centre, other.centre)
            assert (one.voxels, one.volume_ml, one.flags) == (
                *(other.voxels, other.volume_ml, other.flags),
            )
        (note,) = set(after.notes) - set(before.notes)
        level = LEVELS[label - 11]
        assert note.startswith(f"{level} (id {label}) is in 2 parts: 8 voxels up to ")
        assert note.endswith("are left out")
        assert spoilt[island].all(), "the map that was given is not changed"

    def test_regions_and_heights_are_those_of_the_clean_map(self, clean):
        spoilt = clean.copy()
        spoilt[2:4, 2:4, 2:4] = 20
        found = []
        for array in (clean, spoilt):
            reading = read_vertebrae(as_volume(array), None, "m")
            case = Spine(reading.vertebrae, reading.labels, reading.spine_ids, ())
            regions = list(vertebra_regions(case, reading.labels.geometry))
            bodies = measure_spine(case).bodies
            assert all(isinstance(body, MeasuredBody) for body in bodies)
            found.append(([(r.box, r.inside.sum()) for r in regions], [b.heights for b in bodies]))
        assert found[0][0] == found[1][0]
        np.testing.assert_array_equal(found[0][1], found[1][1])

    def test_islands_of_what_is_left_out_are_no_spine_either(self):
        clean = numbered(spine(("T3", *LEVELS))[0], ids_of("verse") | {"T3": 10})
        spoilt = clean.copy()
        spoilt[2:4, 2:4, 2:4] = 10
        reading = read_vertebrae(as_volume(spoilt), "verse", "m")
        np.testing.assert_array_equal(reading.labels.array, clean)
        assert any(note.startswith("T3 (id 10) is in 2 parts") for note in reading.notes)
