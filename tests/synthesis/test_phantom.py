"""Synthetic cases: labels, geometry, fractures, look-alikes and HU, measured on the voxels."""

import dataclasses

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from vfseg.data.anatomy import LEVELS, SCHEMES, read_vertebrae
from vfseg.data.volume import write_ct, write_labels
from vfseg.errors import UserError
from vfseg.synthesis.phantom import FractureSpec, PhantomSettings, make_case
from vfseg.synthesis.phantom.case import plan_case
from vfseg.synthesis.phantom.fractures import SITES, draw_pattern
from vfseg.synthesis.phantom.settings import CLINICAL_RATES
from vfseg.synthesis.phantom.spine import Size, draw_patient

LUMBAR = {"levels": ("T12", "L5"), "levels_per_case": (6, 6)}
THREE = {"levels": ("L1", "L3"), "levels_per_case": (3, 3)}


@pytest.fixture(scope="module")
def healthy():
    return make_case(5, {**LUMBAR, "voxel_spacing": 1.0}, fractures={})


@pytest.fixture(scope="module")
def drawn():
    """A handful of random cases."""
    return [make_case(seed, {"fracture_probability": 0.5}) for seed in range(4)]


def heights(case, fact) -> dict[str, float]:
    """Heights (mm) of the label along the body's axis, at the front, middle and back."""
    mask = (case.vertebrae.array == fact.label).astype(np.float32)
    step = 0.1
    up = np.arange(-fact.size.height / 2 - 4, fact.size.height / 2 + 4, step)
    result = {}
    for name, share in SITES.items():
        lines = []
        for side in np.linspace(-0.2, 0.2, 7):
            front, right = share * fact.size.depth / 2, side * fact.size.width / 2
            line = np.stack([up, np.full_like(up, front), np.full_like(up, right)], -1)
            voxels = fact.frame.to_patient(line) / case.ct.voxel_spacing
            inside = ndimage.map_coordinates(mask, voxels.T, order=1) >= 0.5
            lines.append(inside.sum() * step)
        result[name] = float(np.mean(lines))
    return result


def local_frame(case, fact):
    """Coordinates (up, front, right) in mm of all voxels around the body, of the case's grid."""
    grids = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(case.ct.shape, case.ct.voxel_spacing)), indexing="ij"
    )
    return np.moveaxis((np.stack(grids, -1) - fact.frame.centre) @ fact.frame.axes.T, -1, 0)


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


def test_an_oblique_grid_turns_the_world_and_not_the_patient():
    settings = {"levels": ("L2", "L3"), "levels_per_case": (2, 2), "voxel_spacing": 2.0}
    straight = make_case(3, settings)
    oblique = make_case(3, {**settings, "oblique_degrees": 20.0})
    np.testing.assert_array_equal(straight.ct.array, oblique.ct.array)
    turn = oblique.ct.affine[:3, :3] @ np.linalg.inv(straight.ct.affine[:3, :3])
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-5)
    angle = np.degrees(np.arccos((np.trace(turn) - 1) / 2))
    assert 1 < angle <= 20


def test_sheets_are_thin_and_lie_in_their_vertebra():
    case = make_case(
        2, {**THREE, "voxel_spacing": 0.8},
        {"L1": FractureSpec("wedge", 0.2), "L3": FractureSpec("crush", 0.3, "both", "gap")},
    )  # fmt: skip
    spacing = case.ct.voxel_spacing
    for fact in case.facts:
        mine = np.isin(case.fractures.array, fact.instances) & (case.fractures.array > 0)
        assert mine.any() == (fact.spec is not None)
        if fact.spec is None:
            continue
        away = ndimage.distance_transform_edt(case.vertebrae.array != fact.label, sampling=spacing)
        assert away[mine].max() <= 2.0
        for instance in fact.instances:
            sheet = case.fractures.array == instance
            # Twice the depth of the deepest voxel is the thickness, to about a voxel.
            depth = ndimage.distance_transform_edt(sheet, sampling=spacing).max()
            assert 0.5 * 1.6 <= depth <= 0.5 * 3.8 + spacing.max()
            volume = sheet.sum() * spacing.prod() / 1000
            assert 0.15 < volume < 7.5  # mL
            box = np.prod(
                [s.stop - s.start for s in ndimage.find_objects(sheet.astype(np.uint8))[0]]
            )
            assert box > 3 * sheet.sum()  # a sheet, not a blob


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


def test_look_alikes_and_old_deformities_have_no_label():
    old = FractureSpec("wedge", 0.35, acute=False)
    names = set()
    for seed in range(6):
        case = make_case(seed, {**THREE, "voxel_spacing": 2.0}, {"L2": old})
        assert not case.fractures.array.any()
        assert all(fact.instances == () for fact in case.facts)
        names |= {name for fact in case.facts for name in fact.lookalikes}
    assert {"basivertebral vein", "nutrient foramen", "osteophytes"} <= names


@pytest.mark.parametrize(
    ("kind", "endplates", "acute"),
    [("wedge", "superior", True), ("biconcave", "both", True), ("crush", "superior", True),
     ("wedge", "superior", False)],
)  # fmt: skip
def test_heights_in_the_label_map_show_the_loss_asked_for(healthy, kind, endplates, acute):
    asked = {"T12": 0.15, "L2": 0.3, "L4": 0.45}
    specs = {
        level: FractureSpec(kind, loss, endplates, acute=acute) for level, loss in asked.items()
    }
    case = make_case(5, {**LUMBAR, "voxel_spacing": 1.0}, specs)
    for fact, whole in zip(case.facts, healthy.facts):
        assert fact.level == whole.level
        before, after = heights(healthy, whole), heights(case, fact)
        loss = {site: 1 - after[site] / before[site] for site in SITES}
        assert max(loss.values()) == pytest.approx(asked.get(fact.level, 0), abs=0.06), fact.level
        if fact.level == "L4" and kind == "wedge":
            assert loss["front"] > 0.35
            assert loss["back"] < 0.1
        if fact.level == "L4" and kind == "biconcave":
            assert loss["middle"] > max(loss["front"], loss["back"]) + 0.15
        if fact.level == "L4" and kind == "crush":
            assert min(loss.values()) > 0.25


def test_grades_follow_genant():
    losses = (0.0, 0.19, 0.2, 0.24, 0.25, 0.39, 0.4, 0.5)
    grades = [FractureSpec(height_loss=loss).grade for loss in losses]
    assert grades == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("kind", ["wedge", "biconcave", "crush"])
@pytest.mark.parametrize("endplates", ["superior", "both"])
def test_heights_in_the_label_map_recover_the_grade_asked_for(healthy, kind, endplates):
    # The middles of Genant's grades 0 to 3; grade 1 is only 5 % wide.
    asked = {"T12": (0.12, 0), "L1": (0.225, 1), "L2": (0.325, 2), "L3": (0.46, 3), "L5": (0, 0)}
    specs = {
        level: FractureSpec(kind, loss, endplates) for level, (loss, _) in asked.items() if loss
    }
    assert [spec.grade for spec in specs.values()] == [0, 1, 2, 3]
    case = make_case(5, {**LUMBAR, "voxel_spacing": 1.0}, specs)
    for fact, whole in zip(case.facts, healthy.facts):
        if fact.level not in asked:
            continue
        before, after = heights(healthy, whole), heights(case, fact)
        loss = max(1 - after[site] / before[site] for site in SITES)
        expected, grade = asked[fact.level]
        assert loss == pytest.approx(expected, abs=0.035), fact.level
        if grade != 1:
            assert FractureSpec(height_loss=loss).grade == grade, fact.level


def test_normal_wedging_is_there_and_not_labelled(healthy):
    assert not healthy.fractures.array.any()
    facts = {fact.level: fact for fact in healthy.facts}
    measured = {level: heights(healthy, fact) for level, fact in facts.items()}
    assert facts["T12"].size.wedge > 0 > facts["L5"].size.wedge
    assert measured["L5"]["front"] > measured["L5"]["back"] + 1.5
    for level, fact in facts.items():
        # The rims differ by depth * tan(wedge), the sites by 0.7 of it; the hollow lies behind.
        difference = 0.7 * fact.size.depth * np.tan(np.radians(fact.size.wedge))
        got = measured[level]["back"] - measured[level]["front"]
        hollow = sum(fact.size.concavity) * ((0.7 + 0.1) ** 2 - (0.7 - 0.1) ** 2)
        assert got == pytest.approx(difference - hollow, abs=1.5)


def test_sizes_are_those_of_the_anatomy(healthy):
    spacing = healthy.ct.voxel_spacing
    volumes = {
        fact.level: np.count_nonzero(healthy.vertebrae.array == fact.label) * spacing.prod() / 1000
        for fact in healthy.facts
    }
    assert 25 < volumes["T12"] < volumes["L3"] < 85  # mL, whole vertebra
    for upper, lower in zip(healthy.facts, healthy.facts[1:]):
        assert 22 < np.linalg.norm(upper.frame.centre - lower.frame.centre) < 46


def test_hounsfield_units_by_tissue():
    case = make_case(
        9, {**THREE, "voxel_spacing": 1.0, "noise_sd": (0, 0), "old_deformity_probability": 0},
        fractures={},
    )  # fmt: skip
    ct = case.ct.array
    assert ct.dtype == np.int16
    shells = []
    for fact in case.facts:
        size = fact.size
        up, front, right = local_frame(case, fact)
        core = (np.abs(up) < 0.3 * size.height) & (np.hypot(front, right) < 0.3 * size.depth)
        assert np.median(ct[core]) == pytest.approx(fact.trabecular, abs=0.2 * fact.trabecular + 15)
        assert 5 < ct[core].std() < 120  # trabecular grain
        inside = case.vertebrae.array == fact.label
        shells.append(np.percentile(ct[inside], [90, 99]))
        canal = (np.abs(up) < 2) & (
            np.hypot(front + (size.depth + size.canal_depth) / 2, right) < 4
        )
        assert -20 < np.median(ct[canal]) < 70
    for upper, lower in zip(case.facts, case.facts[1:]):
        ends = (
            upper.frame.to_patient((-upper.size.height / 2, 0, 0)),
            lower.frame.to_patient((lower.size.height / 2, 0, 0)),
        )
        middle = np.rint(np.mean(ends, 0) / case.ct.voxel_spacing).astype(int)
        disc = ct[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, (0, 4, 4)))]
        assert 50 < np.median(disc) < 125
    assert 300 < np.mean(shells, 0)[0] < 900  # cortex of 0.5-1 mm by partial volume
    assert 600 < np.mean(shells, 0)[1] < 1300
    assert np.percentile(ct, 1) < -950  # air behind the skin
    assert ct.max() < 1500


def test_condensation_is_brighter_and_a_gap_darker_than_the_bone_around():
    for sign, direction in (("condensation", 1), ("gap", -1)):
        spec = FractureSpec("wedge", 0.1, sign=sign)
        case = make_case(4, {**THREE, "voxel_spacing": 1.0, "noise_sd": (0, 0)}, {"L2": spec})
        fact = case.facts[1]
        sheet = case.fractures.array > 0
        near = ndimage.binary_dilation(sheet, iterations=3) & ~ndimage.binary_dilation(sheet)
        deep = ndimage.binary_erosion(case.vertebrae.array == fact.label, iterations=3)
        difference = np.median(case.ct.array[sheet]) - np.median(case.ct.array[near & deep])
        assert 40 < direction * difference < 300


def test_a_split_runs_through_both_endplates_and_a_burst_to_the_posterior_wall():
    settings = {**THREE, "voxel_spacing": 1.0}
    plain = make_case(4, settings, {"L2": FractureSpec("wedge", 0.1)})
    assert len(plain.facts[1].instances) <= 2
    for pattern in ("split", "burst"):
        case = make_case(4, settings, {"L2": FractureSpec("wedge", 0.1, pattern=pattern)})
        fact = case.facts[1]
        upright = case.fractures.array == fact.instances[-1]
        up, front, right = local_frame(case, fact)
        tall = np.ptp(up[upright])
        thick = 2 * ndimage.distance_transform_edt(upright).max()
        assert thick <= 4.5 < 0.4 * fact.size.height < tall
        if pattern == "split":
            assert tall > 0.75 * fact.size.height
        else:
            # It stands in the posterior half, and the wall behind it bulges into the canal.
            assert np.median(front[upright]) < -0.2 * fact.size.depth
            midline = (np.abs(right) < 3) & (up > 0) & (up < 0.4 * fact.size.height)
            backs = [
                front[midline & (c.vertebrae.array == fact.label) & (front > -fact.size.depth)]
                for c in (plain, case)
            ]
            assert backs[1].min() < backs[0].min() - 0.9


def test_patterns_are_drawn_as_often_as_asked():
    rng = np.random.default_rng(0)
    specs = [draw_pattern(rng, FractureSpec(), 0.1, 0.3).pattern for _ in range(4000)]
    for pattern, share in (("split", 0.1), ("burst", 0.3), ("endplate", 0.6)):
        # Six standard deviations of a binomial share.
        assert np.mean([p == pattern for p in specs]) == pytest.approx(
            share, abs=6 * np.sqrt(share * (1 - share) / 4000)
        )
    healed, ribbon = FractureSpec(acute=False), FractureSpec(across_slices=True)
    assert draw_pattern(rng, healed, 0.5, 0.5) == healed
    assert draw_pattern(rng, ribbon, 0.5, 0.5) == ribbon


def test_the_plan_of_a_case_is_what_is_made():
    settings = PhantomSettings(
        levels_per_case=(3, 3), voxel_spacing=1.3, fracture_probability=0.6,
        fracture_rates="clinical", across_slices_fraction=0.3, burst_fraction=0.4,
    )  # fmt: skip
    for number in range(4):
        seed = np.random.SeedSequence(1, spawn_key=(0, number))
        plan = plan_case(seed, settings)
        made = make_case(seed, settings)
        assert plan == {f.level: f.spec for f in made.facts if f.level in LEVELS}


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


def test_metal_is_bright_streaks_stay_in_its_slices_and_nothing_else_changes():
    settings = {**THREE, "voxel_spacing": 1.0, "noise_sd": (0, 0), "transitional_probability": 0}
    spec = {"L2": FractureSpec("crush", 0.2)}
    plain = make_case(4, {**settings, "hardware_probability": 0.0}, spec)
    case = make_case(4, {**settings, "hardware_probability": 1.0}, spec)
    assert plain.hardware == ()
    assert case.hardware == ("L1", "L3")  # the fracture is spanned
    np.testing.assert_array_equal(case.vertebrae.array, plain.vertebrae.array)
    np.testing.assert_array_equal(case.fractures.array, plain.fractures.array)
    difference = case.ct.array.astype(int) - plain.ct.array
    metal = case.ct.array > 2200
    for fact in case.facts:
        body = local_frame(case, fact)
        near = (np.abs(body[0]) < 8) & (body[1] > -5) & (body[1] < 4) & (np.abs(body[2]) < 15)
        assert metal[near].any() == (fact.level in case.hardware)
    # The kernel reaches three voxels further than the metal itself.
    slices = ndimage.binary_dilation(metal.any((1, 2)), iterations=4)
    assert not difference[~slices].any()
    away = ndimage.distance_transform_edt(~metal) > 8
    streaks = difference[away & slices[:, None, None]]
    assert 10 < streaks.std() < 150
    assert streaks.min() < -60
    assert streaks.max() > 60


def test_contrast_brightens_the_aorta_and_a_little_the_bone():
    rng = np.random.default_rng(3)
    patients = [draw_patient(rng, 0) for _ in range(400)]
    share = np.mean([p.contrast > 0 for p in patients])
    assert 0.2 < share < 0.5
    plain, bright = ([p for p in patients if (p.contrast > 0) == phase] for phase in (False, True))
    assert min(p.contrast for p in bright) > 100
    # Bone at the lower end of its range shows the gain alone: 35 HU, or 35 and 15 to 20.
    assert min(p.trabecular for p in plain) >= 35
    assert min(p.trabecular for p in bright) >= 50
    assert max(p.trabecular for p in bright) <= 280 + 20


def test_noise_has_the_asked_spread():
    settings = {"levels": ("L2", "L2"), "levels_per_case": (1, 1), "voxel_spacing": 1.5}
    clean = make_case(1, {**settings, "noise_sd": (0, 0)}).ct.array.astype(float)
    noisy = make_case(1, {**settings, "noise_sd": (0, 60)})
    within = (clean > -1000) & (clean < 2000)
    spread = (noisy.ct.array - clean)[within].std()
    assert spread == pytest.approx(noisy.scanner.noise_sd, rel=0.02)


def test_ribbons_are_flecks_in_every_sagittal_slice_and_lines_across():
    settings = {**THREE, "voxel_spacing": 1.0, "across_slices_fraction": 1.0}
    spec = FractureSpec("wedge", 0.0, across_slices=True)
    case = make_case(6, settings, {"L2": spec})
    assert all("fleck" in fact.lookalikes for fact in case.facts)
    where = np.argwhere(case.fractures.array > 0)
    extent = np.ptp(where, axis=0) + 1
    assert extent[2] > 15  # mm from left to right
    for slice_ in np.unique(where[:, 2]):
        one = where[where[:, 2] == slice_]
        assert np.ptp(one[:, 1]) + 1 <= 9  # mm from back to front


def test_thick_slices_average_what_thin_ones_show():
    settings = {**THREE, "noise_sd": (0, 0)}
    specs = {"L2": FractureSpec("crush", 0.2)}
    thin = make_case(8, {**settings, "voxel_spacing": (1.0, 1.0, 1.0)}, specs)
    thick = make_case(8, {**settings, "voxel_spacing": (3.0, 1.0, 1.0)}, specs)
    np.testing.assert_allclose(thick.ct.voxel_spacing, (3, 1, 1), atol=1e-5)
    for fact in thin.facts:
        volumes = [
            np.count_nonzero(case.vertebrae.array == fact.label) * case.ct.voxel_spacing.prod()
            for case in (thin, thick)
        ]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    bright = [np.percentile(c.ct.array[c.vertebrae.array > 0], 98) for c in (thin, thick)]
    assert bright[1] < bright[0]


def test_spacing_is_drawn_from_ranges_and_shared_by_equal_ones():
    settings = {"levels_per_case": (1, 1), "voxel_spacing": ((2.0, 3.0), (1.5, 2.0), (1.5, 2.0))}
    drawn = [make_case(seed, settings).ct.voxel_spacing for seed in range(3)]
    for d, h, w in drawn:
        assert 2 <= d <= 3
        assert 1.5 <= h <= 2
        assert h == pytest.approx(w, rel=1e-5)
    assert drawn[0][0] != pytest.approx(drawn[1][0], rel=1e-3)


def test_fracture_rates_by_level():
    uniform = PhantomSettings(fracture_probability=0.3)
    assert {uniform.fracture_rate(level) for level in LEVELS} == {0.3}
    clinical = PhantomSettings(fracture_probability=0.26, fracture_rates="clinical")
    rates = {level: clinical.fracture_rate(level) for level in LEVELS}
    assert np.mean(list(rates.values())) == pytest.approx(0.26)
    assert max(rates, key=rates.get) == "L1"
    assert rates["L1"] / rates["T4"] == pytest.approx(35.7 / 3.3)
    assert CLINICAL_RATES["L5"] == 4.5


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"fracture_probabilty": 0.2}, "fracture_probability"),
        ({"fracture_probability": 1.5}, "fracture_probability"),
        ({"levels": ("L5", "T4")}, "levels"),
        ({"levels": ("C1", "L5")}, "levels"),
        ({"levels": ("L1", "L3"), "levels_per_case": (5, 5)}, "levels_per_case"),
        ({"voxel_spacing": 0.0}, "voxel_spacing"),
        ({"voxel_spacing": "fine"}, "voxel_spacing"),
        ({"orientations": ("RAR",)}, "orientations"),
        ({"noise_sd": (30, 10)}, "noise_sd"),
        ({"train": -1}, "train"),
        ({"hardware_probability": 2}, "hardware_probability"),
        ({"transitional_probability": -0.1}, "transitional_probability"),
        ({"split_fraction": "often"}, "split_fraction"),
        ({"split_fraction": 0.6, "burst_fraction": 0.6}, "burst_fraction"),
        ({"fracture_rates": "real"}, "fracture_rates"),
    ],
)
def test_settings_that_cannot_be_are_named(wrong, named):
    with pytest.raises(UserError, match=f"{named}"):
        PhantomSettings.of(wrong)


def test_a_fracture_outside_the_case_is_named():
    with pytest.raises(UserError, match="L5"):
        make_case(0, THREE, {"L5": FractureSpec()})


def test_facts_describe_the_intact_vertebra(healthy):
    for fact in healthy.facts:
        assert isinstance(fact.size, Size)
        front, back = fact.size.rim_heights()
        assert (front + back) / 2 == pytest.approx(fact.size.height)
        np.testing.assert_allclose(fact.frame.axes @ fact.frame.axes.T, np.eye(3), atol=1e-9)
        assert fact.frame.axes[0][0] > 0.7  # the body's axis points up
        assert dataclasses.asdict(fact.size)["height"] > 15
