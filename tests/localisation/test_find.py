"""What is found, where in the world it lies, and what is refused."""

import dataclasses
import itertools

import numpy as np
import pytest

from tests.localisation.test_chain import joined, spine
from vfseg.data.geometry import geometry_from
from vfseg.errors import UserError
from vfseg.localisation import find
from vfseg.localisation.find import find_vertebrae
from vfseg.localisation.heat import CoarseCt
from vfseg.localisation.levels import NAMES
from vfseg.localisation.peaks import Peaks

ORIGIN = np.array([8.0, 12.0, 16.0])


@pytest.fixture
def seen(monkeypatch):
    """Has the network see given peaks."""

    def give(peaks):
        monkeypatch.setattr(find, "see", lambda ct, params: (None, None))
        monkeypatch.setattr(find, "peaks_of", lambda heat, level: peaks)

    return give


def ct(shape=(30, 40, 50), spacing=(0.8, 0.9, 2.5), first=(-20.0, 30.0, 700.0)):
    """A CT stored LPS, so that every axis but the last runs the other way in RAS+."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = first
    return CoarseCt(np.zeros((2, 2, 2), np.float32), ORIGIN, geometry_from(shape, affine))


def above_zero(peaks):
    return Peaks(peaks.places - [peaks.places[:, 0].min() - 5, 0, 0], peaks.heights, peaks.levels)


def test_places_are_world_millimetres(seen):
    peaks = above_zero(spine("L1", "L4"))
    seen(peaks)
    found = find_vertebrae(ct(), None, "ct")
    # The first canonical voxel is the last stored one along x and y: left and back become first.
    first = np.array([-20 - 29 * 0.8, 30 - 39 * 0.9, 700])
    for vertebra, place in zip(found.vertebrae, peaks.places, strict=True):
        expected = first + (place + ORIGIN)[::-1]
        np.testing.assert_allclose(vertebra.place, expected, atol=0.01)
    assert [v.level for v in found.vertebrae] == ["L1", "L2", "L3", "L4"]
    assert not found.sacrum


def test_a_sacrum_is_said_and_is_no_vertebra(seen):
    seen(above_zero(spine("L3", "S1")))
    found = find_vertebrae(ct(), None, "ct")
    assert found.sacrum
    assert [v.level for v in found.wanted] == ["L3", "L4", "L5"]


def test_neck_and_upper_thorax_are_not_wanted(seen):
    seen(above_zero(spine("C6", "T6")))
    found = find_vertebrae(ct(), None, "ct")
    assert [v.level for v in found.vertebrae] == list(NAMES[NAMES.index("C6") : NAMES.index("T7")])
    assert [v.level for v in found.wanted] == ["T4", "T5", "T6"]


def test_what_is_unsure_names_the_others(seen):
    seen(above_zero(spine("T6", "T9", sure=0.05)))
    found = find_vertebrae(ct(), None, "ct")
    assert found.probability < 0.9
    assert found.others
    assert all(a >= b for a, b in itertools.pairwise(found.others.values()))
    settled = find_vertebrae(ct(), None, "ct", lowest="L2")
    assert [v.level for v in settled.vertebrae] == ["T11", "T12", "L1", "L2"]
    assert (settled.probability, settled.others) == (1.0, {})


@pytest.mark.parametrize("heights", [[0.9], [0.45, 0.45, 0.45], []])
def test_little_is_refused_with_what_to_do(seen, heights):
    whole = spine("T6", "T10")
    count = len(heights)
    seen(Peaks(whole.places[:count], np.array(heights), whole.levels[:count]))
    with pytest.raises(UserError, match=r"mine\.nii: no spine .* vfseg pick makes points"):
        find_vertebrae(ct(), None, "mine.nii")


def test_two_spines_are_refused_and_ribs_are_none(seen):
    other = spine("T5", "L2")
    other.places[:, 2] += 250
    seen(joined(spine("T5", "L2"), other))
    with pytest.raises(UserError, match="two spines"):
        find_vertebrae(ct(), None, "ct")
    ribs = spine("T5", "T6")
    ribs.places[:, 2] += 60
    seen(joined(spine("T5", "L2"), ribs))
    assert len(find_vertebrae(ct(), None, "ct").vertebrae) == 10


@pytest.mark.parametrize(("aside", "hu", "refused"), [(4, 2500, True), (4, 1500, False),
                                                      (9, 2500, False)])  # fmt: skip
def test_metal_in_the_spine_is_refused(seen, aside, hu, refused):
    """Voxels of 4 mm: a rod 16 mm beside the line of the bodies, and one 36 mm beside it."""
    peaks = above_zero(spine("L1", "L4"))
    seen(peaks)
    places = np.rint(peaks.places / 4).astype(int)
    array = np.zeros(places.max(0) + 20, np.float32)
    array[places[-1, 0] : places[0, 0], places[0, 1], places[0, 2] + aside] = hu
    with_rod = dataclasses.replace(ct(), hu=array)
    if refused:
        with pytest.raises(UserError, match="metal lies in the spine"):
            find_vertebrae(with_rod, None, "ct")
    else:
        assert len(find_vertebrae(with_rod, None, "ct").vertebrae) == 4


def test_a_lowest_level_without_room_above_is_refused(seen):
    seen(spine("T1", "L2"))
    with pytest.raises(UserError, match="--lowest T3: 14 bodies do not fit above T3"):
        find_vertebrae(ct(), None, "ct", lowest="T3")
