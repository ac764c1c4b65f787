"""Painted cases: where they lie, what they show, and that they are a function of their seed."""

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from tests.synthesis.painted.made_spine import HEIGHT, LABELS, MIDDLE, inside, label_map
from vfseg.synthesis.painted import case as module
from vfseg.synthesis.painted import field, paint_case, read_source
from vfseg.synthesis.painted.field import draw_acquisition
from vfseg.synthesis.phantom.lookalikes import LookAlikes
from vfseg.synthesis.phantom.scanner import rotation_about
from vfseg.synthesis.settings import PaintedSettings

WHOLE = PaintedSettings(fracture_probability=0.0)
BROKEN = PaintedSettings(fracture_probability=1.0, fracture_rates="uniform")
OBLIQUE = rotation_about(np.array([0.6, 0.8, 0.0]), np.radians(8))
MAPS = {
    "RAS": {"codes": "RAS"},
    "PIR": {"codes": "PIR", "spacing": (2.0, 1.0, 1.0)},
    "LPS": {"codes": "LPS", "turn": OBLIQUE},
}


FINE, SLICES = field.IN_PLANE_MM, field.SLICE_MM


@pytest.fixture(scope="module")
def sources():
    return {name: read_source(label_map(**how), "verse", {}, name) for name, how in MAPS.items()}


@pytest.fixture(scope="module")
def broken(sources):
    return [paint_case(sources["RAS"], seed, BROKEN) for seed in range(3)]


@pytest.mark.parametrize("name", MAPS)
def test_whole_vertebrae_lie_in_the_world_where_they_lay(sources, name, monkeypatch):
    """The centre of each to half a voxel, and its surface: nearly all voxels have its label."""
    monkeypatch.setattr(module, "draw_lookalikes", lambda *_: LookAlikes())  # without spurs
    case = paint_case(sources[name], 5, WHOLE)
    volume = case.vertebrae
    index = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), -1)
    expected = inside(apply_affine(volume.affine, index)[..., ::-1])
    voxel = np.linalg.norm(volume.voxel_spacing)
    for label in LABELS.values():
        shown, wanted = volume.array == label, expected == label
        if wanted.sum() < 0.5 * (HEIGHT * 40 * 30) / np.prod(volume.voxel_spacing):
            continue  # cut by the field of view
        common = (shown & wanted).sum()
        assert 2 * common / (shown.sum() + wanted.sum()) > 0.85
        apart = np.array(ndimage.center_of_mass(shown)) - ndimage.center_of_mass(wanted)
        assert np.abs(apart * volume.voxel_spacing).max() < 0.5 * voxel
    assert (volume.array == LABELS["L3"]).any()
    centre = np.linalg.solve(volume.affine, [*MIDDLE[::-1], 1])[:3]
    assert volume.array[tuple(np.rint(centre).astype(int))] == LABELS["L3"]
    assert not case.fractures.array.any()


def test_the_three_volumes_share_a_grid_along_the_axes_of_the_map(sources):
    case = paint_case(sources["LPS"], 1, WHOLE)
    for volume in (case.vertebrae, case.fractures):
        np.testing.assert_array_equal(volume.affine, case.ct.affine)
    for volume in (case.ct, sources["LPS"].volume):
        axes = volume.affine[:3, :3] / volume.voxel_spacing
        np.testing.assert_allclose(axes, OBLIQUE[:, ::-1], atol=1e-6)


def test_truth_lies_within_its_vertebra(broken):
    """A sheet is in the bone; thick slices carry both beyond its surface by part of a voxel."""
    marked = 0
    for case in broken:
        labels, mask = case.vertebrae.array, case.fractures.array
        for fact in case.facts:
            grown = ndimage.binary_dilation(labels == fact.label, iterations=1)
            for instance in fact.instances:
                marked += 1
                assert (mask == instance).any()
                assert grown[mask == instance].all()
            assert (fact.spec is not None and fact.spec.acute) or not fact.instances
        assert set(np.unique(mask)) == {0, *(i for f in case.facts for i in f.instances)}
    assert marked >= 3


def test_a_fracture_lowers_its_body_and_what_lies_above_comes_down(sources, broken):
    seen = 0
    for case in broken:
        for fact in case.facts:
            before = next(b for b in sources["RAS"].bones if b.name == fact.level)
            down = (before.frame.centre - fact.frame.centre)[0]
            lower = [f for f in case.facts if f.label > fact.label and f.spec]
            if any(f.spec.height_loss > 0 for f in lower):
                assert down > 0
                seen += 1
            else:
                assert down == pytest.approx(0, abs=1e-9)
    assert seen


def test_parts_have_the_hounsfield_units_of_what_they_are(sources, monkeypatch):
    """Of a common patient in a common scanner: marrow as drawn, denser shell, soft disc, canal."""
    monkeypatch.setattr(field, "IN_PLANE_MM", (0.9, 0.9))
    monkeypatch.setattr(field, "SLICE_MM", (0.9, 0.9))
    monkeypatch.setattr(module, "randomise_scanner", lambda rng, scanner: scanner)
    monkeypatch.setattr(module, "randomise_patient", lambda rng, patient: patient)
    monkeypatch.setattr(module, "HARDWARE_PROBABILITY", 0.0)
    case = paint_case(sources["RAS"], 3, WHOLE)
    volume, hu = case.vertebrae, case.ct.array.astype(float)
    index = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), -1)
    place = apply_affine(volume.affine, index)[..., ::-1] - MIDDLE
    fact = next(f for f in case.facts if f.level == "L3")
    u, f, r = np.moveaxis(place, -1, 0)
    core = (np.abs(u) < 6) & (np.hypot(f, r) < 8)
    assert np.median(hu[core]) == pytest.approx(fact.trabecular, abs=35)
    wall = (np.abs(u) < 6) & (np.abs(f - 16) < 0.8) & (np.abs(r) < 4)
    assert np.median(hu[wall]) > np.median(hu[core]) + 80
    gap = (np.abs(u - 17.5) < 1.5) & (np.hypot(f, r) < 8)
    assert 40 < np.median(hu[gap]) < 130
    canal = (np.abs(u) < 6) & (np.abs(f + 25) < 3) & (np.abs(r) < 3)
    assert -20 < np.median(hu[canal]) < 80


def test_equal_seeds_give_equal_voxels_and_others_do_not(sources, broken):
    one, other, _ = broken
    again = paint_case(sources["RAS"], 0, BROKEN)
    for volume in ("ct", "vertebrae", "fractures"):
        first, second = getattr(one, volume), getattr(again, volume)
        np.testing.assert_array_equal(first.array, second.array)
        np.testing.assert_array_equal(first.affine, second.affine)
    assert one.ct.shape != other.ct.shape or (one.ct.array != other.ct.array).any()


def test_spacing_is_drawn_from_its_ranges_and_one_axis_is_thick(sources, monkeypatch):
    monkeypatch.setattr(field, "IN_PLANE_MM", FINE)
    monkeypatch.setattr(field, "SLICE_MM", SLICES)
    thick = set()
    for seed in range(20):
        scanner = draw_acquisition(np.random.default_rng(seed), sources["RAS"].volume)
        axis = int(np.argmax(scanner.voxel_spacing != np.median(scanner.voxel_spacing)))
        thick.add(axis)
        others = np.delete(scanner.voxel_spacing, axis)
        assert others[0] == others[1]
        assert FINE[0] <= others[0] <= FINE[1]
        assert SLICES[0] <= scanner.voxel_spacing[axis] <= SLICES[1]
    assert thick == {0, 2}
