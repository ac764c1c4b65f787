"""Fractures measured on the voxels: sheets, heights, grades, patterns."""

import numpy as np
import pytest
from scipy import ndimage

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import LUMBAR, THREE, heights, local_frame
from vfseg.synthesis.phantom import FractureSpec
from vfseg.synthesis.phantom.fractures import SITES, draw_pattern


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
