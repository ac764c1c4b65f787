"""Synthetic cases: what is drawn where, and that a seed gives one case."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import THREE
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.schemes import LEVELS, SCHEMES
from vfseg.data.volume import write_ct, write_labels
from vfseg.errors import UserError
from vfseg.synthesis.phantom import FractureSpec, PhantomSettings
from vfseg.synthesis.phantom.plan import draw_plan, random_streams


def test_equal_seeds_give_equal_voxels_and_others_do_not():
    settings = PhantomSettings(levels_per_case=(2, 2), voxel_spacing=2.0)
    seed = np.random.SeedSequence(7, spawn_key=(0, 3))
    first = make_case(seed, settings)
    for other, equal in ((seed, True), (np.random.SeedSequence(7, spawn_key=(0, 4)), False)):
        second = make_case(other, settings)
        same_shape = first.ct.shape == second.ct.shape
        assert equal == (same_shape and np.array_equal(first.ct.array, second.ct.array))
        if equal:
            np.testing.assert_array_equal(first.fractures.array, second.fractures.array)
            np.testing.assert_array_equal(first.vertebrae.array, second.vertebrae.array)
            np.testing.assert_array_equal(first.ct.affine, second.ct.affine)


def test_labels_are_verse_ids_from_cranial_to_caudal(drawn):
    for case in drawn:
        levels = [fact.level for fact in case.facts]
        start = LEVELS.index(levels[0])
        assert tuple(levels) == LEVELS[start : start + 5]
        labels = [fact.label for fact in case.facts]
        assert [SCHEMES["verse"][label] for label in labels] == levels
        assert set(np.unique(case.vertebrae.array)) == {0, *labels}
        means = ndimage.center_of_mass(np.ones(case.ct.shape), case.vertebrae.array, index=labels)
        assert (np.diff(means, axis=0)[:, 0] < 0).all()


def test_the_reader_of_label_maps_finds_every_level_and_the_bodies(healthy):
    reading = read_vertebrae(healthy.vertebrae, None, "phantom")
    assert reading.scheme == "verse"
    assert [v.level for v in reading.vertebrae] == [fact.level for fact in healthy.facts]
    for vertebra, fact in zip(reading.vertebrae, healthy.facts):
        centre = np.array(vertebra.centre) * healthy.ct.voxel_spacing
        assert np.linalg.norm(centre - fact.frame.centre) < 6
        assert not vertebra.flags


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "LAS"])
def test_stored_orientations_hold_the_same_patient(tmp_path, orientation):
    settings = {"levels": ("L2", "L3"), "levels_per_case": (2, 2), "voxel_spacing": (3, 2, 2)}
    spec = {"L2": FractureSpec()}
    case = make_case(11, {**settings, "orientations": (orientation,)}, spec)
    reference = make_case(11, {**settings, "orientations": ("RAS",)}, spec)
    write_ct(tmp_path / "ct.nii.gz", case.ct.array, case.ct.geometry)
    write_labels(tmp_path / "vertebrae.nii.gz", case.vertebrae.array, case.ct.geometry)
    write_labels(tmp_path / "fractures.nii.gz", case.fractures.array, case.ct.geometry)
    files = {
        name: nib.load(tmp_path / f"{name}.nii.gz") for name in ("ct", "vertebrae", "fractures")
    }
    for image in files.values():
        assert "".join(nib.aff2axcodes(image.affine)) == orientation
        np.testing.assert_array_equal(image.affine, files["ct"].affine)
        assert image.shape == files["ct"].shape

    def world(image, wanted):
        voxel = np.argwhere(wanted(np.asarray(image.dataobj))).mean(0)
        return nib.affines.apply_affine(image.affine, voxel)

    def expected(volume, wanted):
        voxel = np.argwhere(wanted(volume.array)).mean(0)
        return nib.affines.apply_affine(reference.ct.affine, voxel)

    for wanted in (lambda a: a == 21, lambda a: a == 22):
        np.testing.assert_allclose(
            world(files["vertebrae"], wanted), expected(reference.vertebrae, wanted), atol=1e-3
        )
    for wanted in (lambda a: a == 1,):
        np.testing.assert_allclose(
            world(files["fractures"], wanted), expected(reference.fractures, wanted), atol=1e-3
        )
    np.testing.assert_allclose(
        world(files["ct"], lambda a: a > 700), expected(reference.ct, lambda a: a > 700), atol=1e-3
    )


def test_instances_are_numbered_from_one_and_belong_to_the_fractured(drawn):
    for case in drawn:
        listed = [i for fact in case.facts for i in fact.instances]
        assert listed == list(range(1, len(listed) + 1))
        assert set(np.unique(case.fractures.array)) == {0, *listed}
        for fact in case.facts:
            assert bool(fact.instances) == (fact.spec is not None and fact.spec.acute)


def test_prevalence_around_the_bodies(drawn):
    positive = total = 0
    for case in drawn:
        region = np.zeros(case.ct.shape, bool)
        for fact in case.facts:
            centre = fact.frame.centre / case.ct.voxel_spacing
            reach = 30 / case.ct.voxel_spacing
            low = np.maximum(np.rint(centre - reach), 0).astype(int)
            high = np.rint(centre + reach).astype(int)
            region[tuple(slice(a, b) for a, b in zip(low, high))] = True
        positive += np.count_nonzero(case.fractures.array[region])
        total += np.count_nonzero(region)
    assert 0.001 < positive / total < 0.007


def test_the_plan_of_a_case_is_what_is_made():
    settings = PhantomSettings(
        levels_per_case=(3, 3), voxel_spacing=1.3, fracture_probability=0.6,
        fracture_rates="clinical", across_slices_fraction=0.3, burst_fraction=0.4,
    )  # fmt: skip
    for number in range(4):
        seed = np.random.SeedSequence(1, spawn_key=(0, number))
        plan = draw_plan(random_streams(seed), settings)
        made = make_case(seed, settings)
        assert plan.specs == {f.level: f.spec for f in made.facts if f.level in LEVELS}


def test_a_supernumerary_vertebra_is_labelled_in_its_place_and_never_fractured():
    settings = {
        "levels": ("T12", "L5"), "levels_per_case": (6, 6), "voxel_spacing": 1.3,
        "transitional_probability": 1.0, "fracture_probability": 0.95,
        "hardware_probability": 0.0,
    }  # fmt: skip
    expected = {"T13": (28, "T12", "L1"), "L6": (25, "L5", None)}
    seen = set()
    for seed in range(4):
        case = make_case(seed, settings)
        levels = [fact.level for fact in case.facts]
        (extra,) = set(levels) - set(LEVELS)
        label, above, below = expected[extra]
        at = levels.index(extra)
        assert levels[at - 1] == above
        assert levels[at + 1 :][:1] == ([below] if below else [])
        assert case.facts[at].label == label
        assert case.facts[at].spec is None
        assert case.facts[at].instances == ()
        order = [
            np.argwhere(case.vertebrae.array == fact.label)[:, 0].mean() for fact in case.facts
        ]
        assert (np.diff(order) < 0).all()
        if extra in seen:
            continue
        seen.add(extra)
        reading = read_vertebrae(case.vertebrae, "verse", "phantom")
        assert [v.level for v in reading.vertebrae] == [n for n in levels if n != extra]
        assert any(extra in note for note in reading.notes)
    assert seen == set(expected)


def test_a_fracture_outside_the_case_is_named():
    with pytest.raises(UserError, match="L5"):
        make_case(0, THREE, {"L5": FractureSpec()})
