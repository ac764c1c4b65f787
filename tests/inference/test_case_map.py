"""From the predictions of crops to the map of the case, and from there to the grid of the CT."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.inference.definitions import definition, exact_scores, place_weight
from vfseg.crops.prepare import cut_ct, place_crops
from vfseg.crops.settings import PrepareSettings
from vfseg.data.box import whole as whole_box
from vfseg.data.geometry import geometry_from
from vfseg.data.levels import Vertebra
from vfseg.data.nifti import slabs
from vfseg.data.settings import PLANE_AXES
from vfseg.data.volume import Volume
from vfseg.evaluation.floors import crop_region
from vfseg.inference.case_map import CaseMap, fuse_case
from vfseg.inference.fusion import RULES, Fused
from vfseg.inference.settings import FUSIONS
from vfseg.inference.views import Views

THRESHOLD = 0.5


def vertebra(centre):
    box = ((0, 0, 0), (1, 1, 1))
    return Vertebra("L3", 22, *box, centre=centre, voxels=1, volume_ml=0.001, flags=())


def geometry(shape, spacing, codes):
    """A grid stored in the orientation `codes`, `shape` and `spacing` given along d, h, w."""
    axis_of = {"S": 0, "I": 0, "A": 1, "P": 1, "R": 2, "L": 2}
    world_of = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, code in enumerate(codes):
        world, sign = world_of[code]
        affine[world, column] = sign * spacing[axis_of[code]]
    affine[:3, 3] = (-31.0, 17.0, -220.0)
    return geometry_from(tuple(shape[axis_of[code]] for code in codes), affine)


def echo(crops, views):
    """Predicts the CT itself, scaled from 0..1000 HU to 0..1, from every view."""
    answers = (crops / 1000).clip(0, 1).astype(np.float32)
    return np.stack([answers] * len(views), axis=1)


def fuse(predictions, starts, views, fusion="mean", spacing=1.0):
    return fuse_case(
        predictions,
        starts,
        spread=len(views) > 1,
        fusion=fusion,
        slice_threshold=THRESHOLD,
        voxel_spacing=spacing,
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_views_and_crops_fuse_as_the_definition_says(fusion):
    """Every voxel, from the list of all its predictions."""
    views, shape = Views(("axial", "sagittal"), flips=True), (3, 4, 2)
    starts = [(0, 0, 0), (1, 2, -1)]
    predictions = exact_scores(3, (2, len(views), *shape))
    fused = fuse(predictions, starts, views, fusion)
    found = {}
    for crop, start in zip(predictions, starts):
        for voxel in np.ndindex(*shape):
            values = found.setdefault(tuple(np.add(start, voxel)), ([], []))
            values[0].extend(crop[(slice(None), *voxel)])
            values[1].extend([place_weight(voxel, shape)] * len(views))
    for voxel, (p, centre) in found.items():
        at = tuple(np.subtract(voxel, fused.origin))
        got = RULES[fusion].link(fused.fused.total[at] / fused.fused.weight[at])
        p = np.array(p, np.float32)
        assert got == pytest.approx(definition(fusion, p, centre, THRESHOLD), abs=2e-6)
        assert fused.spread[at] == pytest.approx(p.astype(np.float64).std(), abs=1e-6)
    assert np.count_nonzero(fused.fused.weight) == len(found)


def test_equal_predictions_have_no_spread_to_the_last_bit():
    views = Views(("axial",), flips=True)
    predictions = np.full((3, 2, 2, 2, 2), np.float32(0.9))
    fused = fuse(predictions, [(0, 0, 0), (0, 0, 1), (1, 0, 0)], views)
    assert not fused.spread.any()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_order_of_vertebrae_and_planes_changes_no_bit(fusion):
    rng = np.random.default_rng(4)
    views, starts = Views(("axial", "coronal")), [(0, 0, 0), (2, 1, 0), (3, -1, 2), (1, 1, 1)]
    predictions = rng.random((4, 2, 4, 4, 4), np.float32)
    want = fuse(predictions, starts, views, fusion)
    for order in ([3, 1, 0, 2], [2, 3, 1, 0]):
        got = fuse(
            predictions[order], [starts[i] for i in order], Views(("coronal", "axial")), fusion
        )
        assert got.origin == want.origin
        for a, b in zip((*got.fused, got.spread), (*want.fused, want.spread)):
            np.testing.assert_array_equal(a, b)


def test_one_view_has_no_spread():
    fused = fuse(np.zeros((1, 1, 2, 2, 2), np.float32), [(0, 0, 0)], Views(("axial",)))
    assert fused.spread is None


@pytest.mark.parametrize("planes", [("axial",), ("coronal",), ("sagittal",), tuple(PLANE_AXES)])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_identity_predictor_returns_the_ct(planes, fusion):
    """Crops of the CT's own spacing overlap and reach over its edge; inside them the CT returns."""
    rng = np.random.default_rng(0)
    grid = geometry((40, 24, 20), (1.0, 1.0, 1.0), "RAS")
    binary = rng.integers(0, 2, grid.shape).astype(np.int16) * 1000
    settings = PrepareSettings(voxel_spacing=1.0, crop_shape=(16, 16, 16))
    crops = place_crops([vertebra((6.0, 12, 10)), vertebra((15.0, 14, 8))], grid, settings)
    views = Views(planes)
    predictions = echo(cut_ct(Volume(binary, grid), crops, settings), views)
    found = fuse(predictions, [crop.start for crop in crops], views, fusion).part_on_ct(
        grid, whole_box(grid.shape)
    )

    covered = np.zeros(grid.shape, bool)
    for crop in crops:
        low = np.maximum(crop.start, 0)
        high = np.minimum(np.array(crop.start) + 16, grid.shape)
        covered[tuple(slice(a, b) for a, b in zip(low, high))] = True
    np.testing.assert_array_equal(found.region, covered)
    assert_allclose(found.probability[covered], binary[covered] / 1000, atol=2e-6)
    assert not found.probability[~covered].any()
    if len(planes) > 1:
        assert not found.spread.any()


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "LAS"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (1.0, 1.0, 2.0)])
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_planted_sheet_returns_at_its_place_in_the_world(codes, spacing, plane):
    """Through crop, resampling, slices and fusion the centroid of a sheet moves less than 1 mm."""
    shape = tuple(int(70 / s) for s in spacing)
    grid = geometry(shape, spacing, codes)
    d, h, w = (np.arange(n) * s for n, s in zip(shape, spacing))
    sheet = (np.abs(d - 31)[:, None, None] < 2.6) & (np.abs(h - 37)[:, None] < 12) & (w > 25)
    sheet = sheet & (w < 45)
    ct = Volume((sheet * 1000).astype(np.int16), grid)
    settings = PrepareSettings(voxel_spacing=1.25, crop_shape=(40, 40, 40))
    crops = place_crops([vertebra(tuple(np.array((35.0, 35, 35)) / spacing))], grid, settings)
    views = Views((plane,))
    predictions = echo(cut_ct(ct, crops, settings), views)
    probability = (
        fuse(predictions, [crops[0].start], views, spacing=1.25)
        .part_on_ct(grid, whole_box(grid.shape))
        .probability
    )

    def centroid(weights):
        index = np.array([np.average(i, weights=weights) for i in np.indices(shape)])
        return grid.affine[:3, :3] @ index + grid.affine[:3, 3]

    assert np.linalg.norm(centroid(probability) - centroid(sheet.astype(float))) < 1.0
    assert probability[sheet].mean() > 0.6


@pytest.mark.parametrize("codes", ["RAS", "PIR", "ASL"])
def test_slab_by_slab_is_the_whole(codes):
    grid = geometry((30, 20, 25), (1.3, 0.8, 1.0), codes)
    rng = np.random.default_rng(5)
    views = Views(("axial",), flips=True)
    predictions = rng.random((2, 2, 12, 12, 12), np.float32)
    fused = fuse(predictions, [(-3, 2, 4), (8, 4, 20)], views, spacing=1.25)
    whole = fused.part_on_ct(grid, whole_box(grid.shape))
    seen = np.zeros(grid.shape, int)
    for part in grid.slabs(3):
        slab = fused.part_on_ct(grid, part)
        seen[part] += 1
        np.testing.assert_array_equal(slab.region, whole.region[part])
        assert_allclose(slab.probability, whole.probability[part], atol=1e-6)
        assert_allclose(slab.spread, whole.spread[part], atol=1e-6)
    assert (seen == 1).all()
    assert whole.region.any()
    assert not whole.region.all()


def test_nothing_of_the_map_lies_outside_its_box():
    grid = geometry((30, 20, 25), (1.3, 0.8, 1.0), "RAS")
    ones = np.ones((1, 1, 12, 12, 12), np.float32)
    fused = fuse(ones, [(3, 2, 4)], Views(("axial",)), spacing=1.25)
    outside = np.ones(grid.shape, bool)
    outside[fused.box(grid)] = False
    assert not fused.part_on_ct(grid, whole_box(grid.shape)).region[outside].any()
    assert 0 < outside.sum() < outside.size


def test_a_map_wholly_outside_the_ct_is_empty():
    grid = geometry((10, 10, 10), (1.0, 1.0, 1.0), "RAS")
    state = Fused(*np.ones((2, 4, 4, 4), np.float32))
    away = CaseMap((50, 0, 0), (4, 4, 4), state, "mean", None, 1.0)
    found = away.part_on_ct(grid, whole_box(grid.shape))
    assert not found.region.any()
    assert not found.probability.any()


def test_slabs_of_a_file_cover_it_in_its_order():
    grid = geometry((30, 20, 25), (1.0, 1.0, 1.0), "PIR")  # slowest in the file: right, rising
    parts = slabs(grid)
    assert len(parts) == 1, "a small volume is one slab"
    thin = list(grid.slabs(4))
    assert [(part[2].start, part[2].stop) for part in thin[:2]] == [(0, 4), (4, 8)]
    assert all(part[0] == slice(0, 30) and part[1] == slice(0, 20) for part in thin)
    flipped = list(geometry((30, 20, 25), (1.0, 1.0, 1.0), "PIL").slabs(4))
    assert [(part[2].start, part[2].stop) for part in flipped[:2]] == [(21, 25), (17, 21)]


def test_the_region_of_crops_is_that_of_their_map():
    """Told without predictions: on a turned grid, in a box, with crops beyond the CT."""
    grid, views = geometry((20, 22, 24), (1.5, 0.8, 1.2), "PIR"), Views(("axial",))
    starts, shape = [(-2, 3, 4), (5, 1, 9), (15, 6, 2)], (6, 5, 7)
    fused = fuse(np.full((len(starts), 1, *shape), 0.5, np.float32), starts, views, spacing=1.3)
    region = crop_region([SimpleNamespace(start=start) for start in starts], shape, grid, 1.3)
    assert 0 < region.sum() < region.size
    for box in (fused.box(grid), whole_box(grid.shape)):
        np.testing.assert_array_equal(region[box], fused.part_on_ct(grid, box).region)


def test_a_second_case_of_about_the_size_compiles_nothing(caplog):
    """From predictions to the map on the CT's grid: kernel, spread and resampling."""
    views = Views(("sagittal",), flips=True)

    def case(second):
        scores = exact_scores(second, (2 + second, 2, 6, 6, 6))
        starts = [(0, 0, 0), (3, 2, 1), (5, 4, 6)][: 2 + second]
        fused = fuse(scores, starts, views)
        grid = geometry((20 + second, 24 - second, 30), (0.7, 0.8, 0.9), "RAS")
        return [fused.part_on_ct(grid, part) for part in slabs(grid)]

    compiled = []
    jax.config.update("jax_log_compiles", True)
    try:
        for number in range(2):
            caplog.clear()
            found = case(number)
            assert sum(slab.region.sum() for slab in found) > 0
            compiled.append(sum(text.startswith("Finished XLA") for text in caplog.messages))
    finally:
        jax.config.update("jax_log_compiles", False)
    assert compiled[0] > 0
    assert compiled[1] == 0
