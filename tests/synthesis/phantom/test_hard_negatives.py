"""What the setting `hard_negatives` adds to a phantom: HU, place, and no label of a fracture."""

import numpy as np
import pytest

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import local_frame
from vfseg.synthesis.phantom import PhantomSettings
from vfseg.synthesis.phantom import case as case_module
from vfseg.synthesis.phantom.hard_negatives import draw_curve, gas_in_disc, segmental_vessel
from vfseg.synthesis.phantom.spine import SPINE, draw_patient, draw_spine

# Without noise, kernel apart, so that a difference is what was painted.
CALM = {
    "levels": ("L1", "L2"), "levels_per_case": (2, 2), "voxel_spacing": 1.5,
    "noise_sd": (0.0, 0.0), "transitional_probability": 0.0,
    "hardware_probability": 0.0, "old_deformity_probability": 0.0,
}  # fmt: skip
SEED = 4


@pytest.fixture(scope="module")
def pair():
    """The same spine without and with all hard negatives, but straight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case_module, "draw_curve", lambda rng, share: 0 * draw_curve(rng, share))
        return [make_case(SEED, {**CALM, "hard_negatives": share}, {}) for share in (0.0, 1.0)]


def test_nothing_of_it_has_a_fracture_label(pair):
    plain, full = pair
    assert not full.fractures.array.any()
    names = {name for fact in full.facts for name in fact.lookalikes}
    added = {"contrast in vessels", "bridging osteophyte", "worn disc"}
    assert added <= names
    assert not added & {name for fact in plain.facts for name in fact.lookalikes}
    # Labels are only added: bridges, with one half each.
    before, after = plain.vertebrae.array, full.vertebrae.array
    np.testing.assert_array_equal(after[before > 0], before[before > 0])
    assert ((after > 0) & (before == 0)).any()


def test_bridges_are_bone_between_two_rims(pair):
    plain, full = pair
    added = (full.vertebrae.array > 0) & (plain.vertebrae.array == 0)
    assert full.ct.array[added].mean() > 250
    for upper, lower in zip(full.facts, full.facts[1:]):
        up, front, _ = local_frame(full, lower)
        between = up > lower.size.height / 2 - 3
        for fact in (upper, lower):
            half = added & between & (full.vertebrae.array == fact.label)
            assert half.any()
            assert front[half].max() > 0
    # Every bridge lies between the middles of its two vertebrae.
    up, *_ = local_frame(full, full.facts[0])
    assert (up[added] < 0).all()


def test_a_worn_disc_holds_gas_between_dense_endplates(pair):
    plain, full = pair
    change = full.ct.array.astype(int) - plain.ct.array
    for upper, lower in zip(full.facts, full.facts[1:]):
        up, front, right = local_frame(full, lower)
        size = lower.size
        core = np.hypot(front, right) < 0.25 * size.depth
        disc = core & (full.vertebrae.array == 0) & (up > 0) & (up < size.height / 2 + 12)
        assert change[disc].min() < -100
        # From 90 HU, a part of which remains where it fades with depth.
        dense = core & (full.vertebrae.array == lower.label) & (up > size.height / 2 - 5)
        assert change[dense].mean() > 20
        top = -upper.size.height / 2
        up, front, right = local_frame(full, upper)
        core = np.hypot(front, right) < 0.25 * size.depth
        dense = core & (full.vertebrae.array == upper.label) & (up < top + 5)
        assert change[dense].mean() > 20


def test_vessels_at_the_wall_and_in_the_vein_are_bright(pair):
    plain, full = pair
    change = full.ct.array.astype(int) - plain.ct.array
    for fact in full.facts:
        up, front, right = local_frame(full, fact)
        size = fact.size
        waist = (np.abs(up) < 5) & (front > 0) & (full.vertebrae.array == 0)
        near = (np.abs(front) < size.depth / 2 + 6) & (np.abs(right) < size.width / 2 + 6)
        assert change[waist & near].max() > 60
        vein = (np.abs(up) < 4) & (np.abs(right) < 4) & (front > 4 - size.depth / 2) & (front < 0)
        assert np.abs(change[vein & (full.vertebrae.array == fact.label)]).max() > 30


def test_scoliosis_comes_as_often_as_asked_and_bends_the_spine():
    rng = np.random.default_rng(0)
    curves = np.array([draw_curve(rng, 0.25) for _ in range(2000)])
    # A share of 0.25 of 2,000 cases has a standard deviation of 0.0097.
    assert np.mean(curves > 0) == pytest.approx(0.25, abs=4 * 0.0097)
    assert curves[curves > 0].min() >= 8
    assert curves.max() <= 18
    patient = draw_patient(np.random.default_rng(0), 0)

    def leans(curve):
        """Span of the sideways tilts of one spine, degrees."""
        spine = draw_spine(np.random.default_rng(1), SPINE, patient, {}, curve)
        return np.ptp([np.degrees(np.arcsin(v.frame.axes[0, 2])) for v in spine])

    # The bend is a wave of at least 0.35 rad a vertebra, 5.2 rad in all: it swings by most of
    # twice its height.
    assert leans(15.0) > leans(0.0) + 1.5 * 15
    case = make_case(SEED, {**CALM, "voxel_spacing": 4.0, "hard_negatives": 1.0}, {})
    assert all("scoliosis" in fact.lookalikes for fact in case.facts)


def test_shapes_have_the_sizes_they_say():
    step = 0.25
    axis = np.arange(-12, 12, step)
    up, front, right = np.meshgrid(axis, axis, axis, indexing="ij")
    gas = gas_in_disc(np.random.default_rng(0), (up, front, right), (8.0, 30.0, 30.0), step)
    # A fifth of the disc's height, at most 1.5 mm, along its middle.
    thickness = step * gas.sum(axis=0)
    assert thickness.max() == pytest.approx(1.5, abs=step)
    wall = np.hypot(front, right) - 6  # of a column of 6 mm radius
    vessel = segmental_vessel(np.random.default_rng(0), np.maximum(wall, 0), up, step)
    assert (wall[vessel > 0.5] > 0.3 - step).all()
    assert (wall[vessel > 0.5] < 0.3 + 2 * 2.0 + step).all()


def test_without_it_a_cohort_is_the_cohort_it_was():
    plain = PhantomSettings()
    assert plain.fingerprint() == PhantomSettings(hard_negatives=0.0).fingerprint()
    assert plain.fingerprint() != PhantomSettings(hard_negatives=0.1).fingerprint()
