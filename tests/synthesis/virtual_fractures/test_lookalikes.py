"""Look-alikes in real bone: their HU, their place, and that the truth stays empty."""

import numpy as np
import pytest
from scipy import ndimage

from tests.synthesis.virtual_fractures.block import (
    DEPTH,
    DISC,
    DISC_VALUE,
    HEIGHT,
    TRABECULAR,
    WIDTH,
    measure,
)
from vfseg.data.volume import Volume
from vfseg.synthesis.virtual_fractures import LabelledCT
from vfseg.synthesis.virtual_fractures.body import voxel_grid
from vfseg.synthesis.virtual_fractures.lookalikes import NAMES, add_lookalike

OWN, ABOVE = 22, 21
SEED = 3


@pytest.fixture(scope="module")
def given(whole):
    """Name -> the block with this look-alike of L3, its facts, and the change of HU."""
    ct, labels, reading, level = whole
    made = {}
    for name in NAMES:
        scan, facts = add_lookalike(LabelledCT(ct, labels), level, name, SEED, reading)
        assert (facts.level, facts.label, facts.name) == ("L3", OWN, name)
        made[name] = scan, facts, scan.ct.array.astype(int) - ct.array
    return made


@pytest.fixture(scope="module")
def place(whole):
    return voxel_grid(whole[0]).local((slice(None),) * 3, measure(whole).frame)


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_stays_empty_and_the_others_stay_whole(whole, given, name):
    ct, labels, *_ = whole
    scan, _, change = given[name]
    assert scan.fractures is None
    assert np.abs(change).max() > 40
    for other in (21, 23):
        bone = labels.array == other
        np.testing.assert_array_equal(scan.ct.array[bone], ct.array[bone])
        assert (scan.labels.array[bone] == other).all()


@pytest.mark.parametrize("name", ["bone island", "wedging"])
def test_fractures_elsewhere_and_the_seed_are_kept(whole, given, name):
    ct, labels, reading, level = whole
    marks = Volume((labels.array == 23).astype(np.uint8), ct.geometry)
    again, _ = add_lookalike(LabelledCT(ct, labels, marks), level, name, SEED, reading)
    np.testing.assert_array_equal(again.fractures.array, marks.array)
    np.testing.assert_array_equal(again.ct.array, given[name][0].ct.array)


def strongest(change, place, share=0.5):
    """Coordinates (up, front, right) of the voxels that changed by at least so much of the most."""
    most = np.abs(change) > share * np.abs(change).max()
    return np.stack([axis[most] for axis in np.broadcast_arrays(*place)])


def test_a_schmorl_node_is_disc_in_a_pit_of_an_endplate(whole, given, place):
    ct, labels, *_ = whole
    scan, *_ = given["Schmorl node"]
    pit = (labels.array == OWN) & (scan.labels.array != OWN)
    up, _, right = (np.broadcast_to(axis, ct.shape)[pit] for axis in place)
    # 3 to 5.5 mm deep and of 3 to 5 mm radius where it is widest; half of that where it is a hole.
    assert 0.02 < pit.sum() * np.prod(ct.voxel_spacing) / 1000 < 0.6
    assert (np.abs(up) > HEIGHT / 2 - 5.5 - 1).all()
    assert len({*np.sign(up)}) == 1
    assert np.ptp(right) <= 2 * 1.35 * 5 + 1
    # The hole holds disc, but for what the smoothed level leaves of its rim and its endplate.
    inner = ndimage.binary_erosion(pit)
    assert abs(scan.ct.array[inner].mean() - DISC_VALUE) < 60


def test_a_worn_disc_has_gas_in_it_and_dense_bone_below(whole, given, place):
    ct, labels, *_ = whole
    scan, _, change = given["worn disc"]
    gas = change < -200
    assert (labels.array[gas] == 0).all()
    up = np.broadcast_to(place[0], ct.shape)
    assert up[gas].min() > HEIGHT / 2
    assert up[gas].max() < HEIGHT / 2 + DISC
    assert scan.ct.array.min() < -300
    dense = (change > 50) & (labels.array == OWN)
    assert dense.sum() * np.prod(ct.voxel_spacing) > 200
    assert up[dense].min() > HEIGHT / 2 - 9 - 1
    assert change[dense].max() <= 300 + 1


def test_a_haemangioma_is_fat_between_upright_columns(whole, given, place):
    _, labels, *_ = whole
    scan, _, change = given["haemangioma"]
    spread = strongest(change, place)
    # A radius of at most 9 mm.
    assert (np.ptp(spread, axis=1) <= 18 + 2).all()
    region = (np.abs(change) > 40) & (labels.array == OWN)
    assert scan.ct.array[region].min() < 30 < TRABECULAR < scan.ct.array[region].max()
    # Its columns run upright: along the axis neighbours resemble one another more than across.
    core = tuple(slice(int(c) - 3, int(c) + 4) for c in np.argwhere(region).mean(axis=0))
    along, across = (np.abs(np.diff(change[core], axis=axis)).mean() for axis in (0, 1))
    assert along < across


def test_a_bone_island_is_a_dense_spot_within_the_body(whole, given, place):
    _, labels, *_ = whole
    _, _, change = given["bone island"]
    spot = change > 100
    assert (labels.array[spot] == OWN).all()
    assert ndimage.label(spot)[1] == 1
    # Half axes of 1.4 to 4.2 mm, from 250 to 500 HU above the bone.
    assert (np.ptp(strongest(change, place), axis=1) <= 8.4 + 2).all()
    assert 200 < change.max() <= 501


def test_a_limbus_is_a_dark_cleft_at_an_anterior_upper_corner(whole, given, place):
    _, labels, *_ = whole
    _, _, change = given["limbus vertebra"]
    assert change.max() <= 1
    up, front, _ = strongest(change, place, 0.3)
    assert up.min() > HEIGHT / 2 - 8
    assert front.min() > DEPTH / 2 - 9
    assert (labels.array[change < -60] == OWN).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_basivertebral_vein_runs_from_the_middle_of_the_posterior_wall(whole, place, seed):
    ct, labels, reading, level = whole
    scan, _ = add_lookalike(LabelledCT(ct, labels), level, "basivertebral vein", seed, reading)
    change = scan.ct.array.astype(int) - ct.array
    trabecular = (np.abs(place[0]) < 8) & (place[1] > 3 - DEPTH / 2) & (np.abs(place[2]) < 12)
    change[~trabecular] = 0
    up, front, right = strongest(change, place, 0.4)
    assert np.abs(up).max() < 6
    assert front.max() < 0.15 * DEPTH / 2 + 7
    assert np.abs(right).max() < 7 + 3
    vein = np.abs(change) > 0.8 * np.abs(change).max()
    found = scan.ct.array[vein].mean()
    # Of contrast or, without it, of blood; partial volume leaves some of the bone.
    assert 140 < found < 360 if change.max() > -change.min() else 20 < found < TRABECULAR - 40


def test_osteophytes_are_bone_around_the_rims_and_belong_to_the_vertebra(whole, given, place):
    ct, labels, *_ = whole
    scan, _, change = given["osteophytes"]
    spur = (scan.labels.array == OWN) & (labels.array != OWN)
    assert spur.any()
    assert (labels.array[spur] == 0).all()
    assert scan.ct.array[spur].mean() > 300
    up, front, right = (np.broadcast_to(axis, ct.shape)[spur] for axis in place)
    assert (np.abs(np.abs(up) - HEIGHT / 2) < 6).all()
    radius = np.hypot(2 * front / DEPTH, 2 * right / WIDTH)
    assert ((radius > 0.8) & (radius < 1.6)).all()
    assert ndimage.label(scan.labels.array == OWN, np.ones((3, 3, 3)))[1] == 1
    assert (change[scan.labels.array == 0] < 600).all()


def test_a_bridge_joins_two_vertebrae_each_with_its_half(whole, given, place):
    ct, labels, *_ = whole
    scan, *_ = given["bridging osteophyte"]
    added = scan.labels.array != labels.array
    assert (labels.array[added] == 0).all()
    assert set(np.unique(scan.labels.array[added])) == {OWN, ABOVE}
    up = np.broadcast_to(place[0], ct.shape)
    middle = (HEIGHT + DISC) / 2
    assert (up[added & (scan.labels.array == OWN)] < middle + 1.5).all()
    assert (up[added & (scan.labels.array == ABOVE)] > middle - 1.5).all()
    assert scan.ct.array[added].mean() > 250
    both = np.isin(scan.labels.array, (OWN, ABOVE))
    assert ndimage.label(both)[1] == ndimage.label(np.isin(labels.array, (OWN, ABOVE)))[1] - 1


@pytest.mark.parametrize("seed", range(3))
def test_a_vessel_at_the_wall_is_bright_and_outside_of_bone(whole, place, seed):
    ct, labels, reading, level = whole
    scan, _ = add_lookalike(LabelledCT(ct, labels), level, "vessel at the wall", seed, reading)
    change = scan.ct.array.astype(int) - ct.array
    np.testing.assert_array_equal(scan.labels.array, labels.array)
    vessel = change > 0.8 * change.max()
    assert (labels.array[vessel] == 0).all()
    _, front, _ = strongest(change, place)
    assert front.min() > -1
    away = ndimage.distance_transform_edt(labels.array == 0, sampling=ct.voxel_spacing)
    # The widest lies 0.3 mm before the wall and has a diameter of 10 mm.
    assert away[vessel].max() < 10.3 + 2
    assert 120 < scan.ct.array[vessel].mean() < 360


@pytest.mark.parametrize(("name", "low", "high"), [
    ("old deformity", 0.2, 0.45), ("wedging", 0.04, 0.12), ("lateral wedging", 0.04, 0.12),
])  # fmt: skip
def test_deformities_lose_height_without_a_sheet(whole, given, place, name, low, high):
    ct, labels, *_ = whole
    scan, facts, _ = given[name]
    core = np.broadcast_to(
        (np.abs(place[1]) < 0.42 * DEPTH) & (np.abs(place[2]) < 0.3 * WIDTH), ct.shape
    )
    columns = core.any(axis=0) & (labels.array == OWN).any(axis=0)
    before, after = (
        ct.voxel_spacing[0] * (volume.array == OWN).sum(axis=0)[columns].astype(float)
        for volume in (labels, scan.labels)
    )
    loss = 1 - after / before
    voxel = ct.voxel_spacing[0] / HEIGHT
    assert low - voxel < np.percentile(loss, 95) < 2 * high + voxel
    right = np.broadcast_to(place[2], ct.shape)[0][columns]
    front = np.broadcast_to(place[1], ct.shape)[0][columns]
    slope = np.polyfit(right if name == "lateral wedging" else front, loss, 1)[0]
    assert abs(slope) * DEPTH > 0.5 * low
    assert (facts.grade > 0) == (name == "old deformity")
