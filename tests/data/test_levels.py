"""Label schemes told by the anatomy, and odd spines under them."""

import itertools

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.data.built_spine import NAMES, as_volume, ids_of, numbered, spine
from vfseg.data import levels
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.schemes import LEVELS, SCHEMES
from vfseg.errors import UserError


class TestSchemes:
    def test_tables(self):
        """The contract's numbers."""
        assert SCHEMES["verse"] == dict(zip(range(11, 25), LEVELS))
        assert SCHEMES["totalsegmentator"] == dict(zip(range(40, 26, -1), LEVELS))
        assert SCHEMES["totalsegmentator_v1"] == dict(zip(range(31, 17, -1), LEVELS))
        assert SCHEMES["l5_to_t4"] == dict(zip(range(14, 0, -1), LEVELS))

    @pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
    @pytest.mark.parametrize("scheme", ["verse", "totalsegmentator", "l5_to_t4"])
    def test_told_by_anatomy(self, scheme, codes, thoracolumbar):
        array, _ = thoracolumbar
        labels = as_volume(numbered(array, ids_of(scheme)), codes)
        reading = read_vertebrae(labels, None, "m.nii.gz")
        assert reading.scheme == scheme
        assert tuple(v.level for v in reading.vertebrae) == LEVELS
        assert {v.label: v.level for v in reading.vertebrae} == SCHEMES[scheme]
        assert not any(v.flags for v in reading.vertebrae)
        assert reading.left_out == ()
        assert len(reading.notes) == 1
        assert read_vertebrae(labels, scheme, "m.nii.gz").notes == ()

    @pytest.mark.parametrize("scale", [0.84, 1.18])
    def test_small_and_large_people(self, scale):
        """With three crushed vertebrae; 1.40 m and 1.97 m where the usual spine is of 1.67 m."""
        array, _ = spine(scale=scale, crushed=("T8", "T12", "L2"))
        for scheme in ("totalsegmentator", "verse"):
            labels = as_volume(numbered(array, ids_of(scheme)))
            assert read_vertebrae(labels, None, "m").scheme == scheme

    @pytest.mark.parametrize("part", [LEVELS[:5], LEVELS[4:9], LEVELS[8:], LEVELS[9:]])
    def test_version_1_is_never_taken_silently(self, part, whole):
        array, _ = whole
        ids = {name: label for name, label in ids_of("totalsegmentator_v1").items() if name in part}
        labels = as_volume(numbered(array, ids))
        with pytest.raises(UserError, match="totalsegmentator_v1: fits") as caught:
            read_vertebrae(labels, None, "m.nii.gz")
        assert "m.nii.gz" in str(caught.value)
        assert "--vertebra-scheme" in str(caught.value)
        reading = read_vertebrae(labels, "totalsegmentator_v1", "m.nii.gz")
        assert tuple(v.level for v in reading.vertebrae) == part

    def test_version_2_is_not_mistaken_for_version_1(self, whole):
        """Lumbar vertebrae are too large and too far apart for the thoracic ones they would be."""
        array, _ = whole
        ids = {n: i for n, i in ids_of("totalsegmentator").items() if n in LEVELS[8:]}
        reading = read_vertebrae(as_volume(numbered(array, ids)), None, "m")
        assert reading.scheme == "totalsegmentator"
        forced = read_vertebrae(as_volume(numbered(array, ids)), "totalsegmentator_v1", "m")
        assert any("times as far apart" in note for note in forced.notes)
        assert any("fit the scheme totalsegmentator" in note for note in forced.notes)

    def test_runs_of_levels_are_decided_rightly_or_not_at_all(self, whole):
        """Every run of levels in every scheme, for people of 0.88 to 1.14 times the usual size.

        (The built spine is 1.07 times.) Runs of three levels or more are decided, but those of
        version 1, which never are.
        """
        array, _ = whole
        labels = as_volume(numbered(array, ids_of("verse")))
        seen = {
            v.level: levels.Sighting(apply_affine(labels.affine, v.centre), v.volume_ml)
            for v in read_vertebrae(labels, "verse", "m").vertebrae
        }
        for scale, scheme in itertools.product((0.82, 0.95, 1.07), SCHEMES):
            scaled = {
                ids_of(scheme)[level]: levels.Sighting(s.centre_mm * scale, s.volume_ml * scale**3)
                for level, s in seen.items()
            }
            for first, last in itertools.combinations(range(len(LEVELS) + 1), 2):
                ids = dict(list(scaled.items())[first:last])
                try:
                    found, _ = levels.decide_scheme(list(ids), ids.__getitem__, None, "m")
                except UserError:
                    assert scheme == "totalsegmentator_v1" or last - first < 3, (scheme, ids.keys())
                else:
                    assert found == scheme != "totalsegmentator_v1"

    @pytest.mark.parametrize("label", range(1, 8))
    def test_a_lone_small_number_needs_a_named_scheme(self, whole, label):
        """C1 to C7 in VerSe, L5 to T11 in the numbers of a box file, whose size it has."""
        array, _ = whole
        level = SCHEMES["l5_to_t4"][label]
        volume = as_volume(numbered(array, {level: label}))
        with pytest.raises(UserError) as caught:
            read_vertebrae(volume, None, "map.nii.gz")
        assert f"{label} is C{label} in verse, {level} in l5_to_t4" in str(caught.value)
        assert "--vertebra-scheme" in str(caught.value)
        (vertebra,) = read_vertebrae(volume, "l5_to_t4", "map.nii.gz").vertebrae
        assert vertebra.level == level

    def test_a_lone_vertebra_is_ambiguous(self, whole):
        labels = as_volume(numbered(whole[0], {"L2": 22}))
        with pytest.raises(UserError, match="verse: fits") as caught:
            read_vertebrae(labels, None, "m")
        assert "totalsegmentator_v1: fits" in str(caught.value)
        assert read_vertebrae(labels, "verse", "m").vertebrae[0].level == "L3"

    @pytest.mark.parametrize("named", [None, "verse", "totalsegmentator"])
    def test_reversed_numbers(self, named, thoracolumbar):
        scheme = named or "totalsegmentator"
        labels = sorted(SCHEMES[scheme])
        backwards = dict(zip(LEVELS, labels if scheme != "verse" else reversed(labels)))
        with pytest.raises(UserError, match="reversed"):
            read_vertebrae(as_volume(numbered(thoracolumbar[0], backwards)), named, "m")

    @pytest.mark.parametrize("named", [None, "verse"])
    def test_two_levels_swapped(self, named, thoracolumbar):
        ids = ids_of("verse")
        ids["T8"], ids["T9"] = ids["T9"], ids["T8"]
        with pytest.raises(UserError, match=r"T8 \(id 15\) lies below T9 \(id 16\)"):
            read_vertebrae(as_volume(numbered(thoracolumbar[0], ids)), named, "m")

    def test_organs_are_not_vertebrae(self, whole):
        """A map of many organs: ids 1 to 24 and above 50 lie anywhere."""
        array = numbered(whole[0], {**ids_of("totalsegmentator"), "T3": 41, "S1": 26})
        rng = np.random.default_rng(3)
        for organ in (*range(1, 25), 51, 79, 90, 117):
            d, w = rng.integers(0, 200), rng.choice([0, 60])
            block = array[d : d + 30, :30, w : w + 10]
            block[block == 0] = organ
        reading = read_vertebrae(as_volume(array), None, "m")
        assert reading.scheme == "totalsegmentator"
        assert tuple(v.level for v in reading.vertebrae) == LEVELS
        assert [item[:2] for item in reading.left_out] == [(26, "S1"), (41, "T3")]
        assert any("organs" in note for note in reading.notes)
        with pytest.raises(UserError, match="not label scheme verse"):
            read_vertebrae(as_volume(array), "verse", "m")

    def test_skipped_number(self, thoracolumbar):
        """Ids that leave out a number where no vertebra is missing: everything above is one off."""
        ids = {name: i - (name in LEVELS[:6]) for name, i in ids_of("verse").items()}
        labels = as_volume(numbered(thoracolumbar[0], {n: i for n, i in ids.items() if i > 10}))
        with pytest.raises(UserError, match=r"T8 \(id 15\) and T10 \(id 17\) are .* mm apart"):
            read_vertebrae(labels, None, "m")
        notes = read_vertebrae(labels, "verse", "m").notes
        assert "T9 is missing" in notes
        assert any("mm apart" in note for note in notes)

    def test_what_is_no_spine(self):
        array = np.zeros((60, 60, 60), np.uint8)
        with pytest.raises(UserError, match="empty"):
            read_vertebrae(as_volume(array), None, "m")
        array[:, :30] = 2  # 430 mL
        with pytest.raises(UserError, match=r"l5_to_t4: .* mL"):
            read_vertebrae(as_volume(array), None, "m")
        with pytest.raises(UserError, match="there T4 to L5 are 27-40, found 2"):
            read_vertebrae(as_volume(array), "totalsegmentator", "m")
        with pytest.raises(UserError, match="no label scheme 'VerSe'"):
            read_vertebrae(as_volume(array), "VerSe", "m")

    def test_a_fracture_mask_is_no_vertebra_map(self, thoracolumbar):
        array, centres = thoracolumbar
        mask = np.zeros_like(array)
        for i, name in enumerate(("L1", "T12", "T11"), 1):
            d, h, w = np.rint(centres[name]).astype(int)
            mask[d, h - 5 : h + 5, w - 5 : w + 5] = i  # sheets of 0.8 mL
        with pytest.raises(UserError, match="only fragments"):
            read_vertebrae(as_volume(mask), None, "m")


class TestOddSpines:
    def test_missing_level(self):
        array, _ = spine([name for name in LEVELS if name != "T8"])
        reading = read_vertebrae(as_volume(numbered(array, ids_of("verse"))), None, "m")
        assert "T8 is missing" in reading.notes
        assert len(reading.vertebrae) == 13

    def test_supernumerary_vertebrae(self, whole):
        """VerSe 28 is T13, 25 is L6: left out, said so, and no neighbour is renamed."""
        array, _ = whole
        shifted = dict(zip(NAMES, (*range(11, 20), 28, *range(20, 25), 25)))  # T3 -> T4, L1 -> T13
        reading = read_vertebrae(as_volume(numbered(array, shifted)), "verse", "m")
        assert [item[:2] for item in reading.left_out] == [(25, "L6"), (28, "T13")]
        assert all(reason == "not among T4 to L5" for *_, reason in reading.left_out)
        assert {v.label: v.level for v in reading.vertebrae} == SCHEMES["verse"]
        for name in ("T13", "L6"):
            assert any(note.startswith(name) for note in reading.notes)

    def test_t13_out_of_place(self, whole):
        ids = {**ids_of("verse"), "T3": 28}
        with pytest.raises(UserError, match="T13"):
            read_vertebrae(as_volume(numbered(whole[0], ids)), "verse", "m")

    def test_fragment(self, thoracolumbar):
        array = numbered(thoracolumbar[0], ids_of("verse"))
        where = np.argwhere(array == 11)
        for index in where[:-200]:  # 200 voxels of 8 mm3 stay: 1.6 mL of T4
            array[tuple(index)] = 0
        reading = read_vertebrae(as_volume(array), None, "m")
        first = reading.vertebrae[0]
        assert (first.level, first.voxels, first.flags) == ("T4", 200, ("fragment",))
        assert first.volume_ml == pytest.approx(1.6, rel=1e-5)
        assert any("fragment of 200 voxels" in note for note in reading.notes)

    def test_fragments_do_not_decide_the_order(self, thoracolumbar):
        """A splinter of T4 below L5 is reported as a fragment; the others still count."""
        array = numbered(thoracolumbar[0], ids_of("verse"))
        array[array == 11] = 0
        array[2, 2:12, 2:12] = 11
        reading = read_vertebrae(as_volume(array), None, "m")
        assert reading.vertebrae[0].flags == ("fragment",)

    def test_single_voxel(self, thoracolumbar):
        array = numbered(thoracolumbar[0], ids_of("verse"))
        array[array == 11] = 0
        array[230, 30, 30] = 11
        first = read_vertebrae(as_volume(array), None, "m").vertebrae[0]
        np.testing.assert_allclose(first.centre, (230, 30, 30), atol=1e-5)
        assert first.start == (230, 30, 30)
        assert first.stop == (231, 31, 31)

    def test_cut_through_the_body_and_through_a_tip(self, thoracolumbar):
        array, centres = thoracolumbar
        array = numbered(array, ids_of("verse"))
        middle = int(centres["L5"][0])
        across = array[middle:, :, 18:]  # transverse processes of L4 end at w = 35 - 38 / 2
        reading = read_vertebrae(as_volume(across), None, "m")
        flags = {v.level: v.flags for v in reading.vertebrae}
        assert flags.pop("L5") == ("cut",)
        assert not any(flags.values())
        assert "L5 (id 24) is cut by the border of the volume" in reading.notes
        assert any("processes reach the border" in n and "L4" in n for n in reading.notes)
