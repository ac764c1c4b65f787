"""Encode-once prediction against plain windows; from crops to the CT's grid and back."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.parameters import random_params
from vfseg.data.anatomy import Vertebra
from vfseg.data.intensity import to_channels
from vfseg.data.prepare import PLANES, PrepareSettings, cut_ct, place_crops
from vfseg.data.volume import Volume, geometry_from
from vfseg.data.windows import WindowSettings
from vfseg.inference.predict import Predictor
from vfseg.models.generator import Generator

HU_WINDOWS = ((0.0, 1000.0),)


def _windows(plane, stride_mm=1.0, length=5):
    return WindowSettings(plane, length, stride_mm, targets=1, batch_size=1, positive_share=0.5)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("stride", [1, 2])
def test_encode_once_equals_plain_windows(plane, stride):
    generator = Generator((4, 8), 5, (0, 1), 2)
    crops = np.random.default_rng(0).integers(-200, 1200, (2, 8, 12, 10), np.int16)
    axis = PLANES[plane]
    slices = np.moveaxis(crops, axis + 1, 1)
    params = random_params(generator, jnp.zeros((1, 5, *slices.shape[2:], 1)))
    predictor = Predictor(generator, _windows(plane, stride), HU_WINDOWS, 1.0)
    got = np.moveaxis(predictor.slices(params, crops), axis + 1, 1)

    plain = jax.jit(lambda run: jax.nn.sigmoid(generator.apply({"params": params}, run)[0, 0]))
    for crop, number in np.ndindex(2, slices.shape[1]):
        window = [min(max(number + o * stride, 0), slices.shape[1] - 1) for o in range(-2, 3)]
        run = to_channels(jnp.asarray(slices[crop, window]), HU_WINDOWS)[None]
        assert_allclose(got[crop, number], plain(run), atol=1e-5)


def test_one_compilation_serves_every_crop():
    generator = Generator((4, 8), 3, (0,), 2)
    params = random_params(generator, jnp.zeros((1, 3, 8, 8, 1)))
    predictor = Predictor(generator, _windows("axial", length=3), HU_WINDOWS, 1.0)
    for crops in (1, 3):
        predictor.slices(params, np.zeros((crops, 8, 8, 8), np.int16))
    assert predictor._predict._cache_size() == 1


class Echo(Predictor):
    """Predicts the CT itself, scaled from 0..1000 HU to 0..1."""

    def __init__(self, plane="sagittal"):
        stand_in = types.SimpleNamespace(apply=None)
        super().__init__(stand_in, _windows(plane), HU_WINDOWS, 1.0)

    def slices(self, g_params, crops):
        return (crops / 1000).clip(0, 1).astype(np.float32)


def _vertebra(centre):
    box = ((0, 0, 0), (1, 1, 1))
    return Vertebra("L3", 22, *box, centre=centre, voxels=1, volume_ml=0.001, flags=())


def _geometry(shape, spacing, codes):
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


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("fusion", ["mean", "vote"])
def test_an_identity_predictor_returns_the_ct(plane, fusion):
    """Crops of the CT's own spacing overlap and reach over its edge; inside them the CT returns."""
    rng = np.random.default_rng(0)
    geometry = _geometry((40, 24, 20), (1.0, 1.0, 1.0), "RAS")
    binary = rng.integers(0, 2, geometry.shape).astype(np.int16) * 1000
    ct = Volume(binary, geometry)
    settings = PrepareSettings(voxel_spacing=1.0, crop_shape=(16, 16, 16))
    crops = place_crops([_vertebra((6.0, 12, 10)), _vertebra((15.0, 14, 8))], geometry, settings)
    predictor = Echo(plane)
    predictions = predictor.slices(None, cut_ct(ct, crops, settings))
    fused = predictor.fuse(predictions, [crop.start for crop in crops], 0.5)
    probability, region = fused.on_ct(geometry, 1.0, fusion)

    covered = np.zeros(geometry.shape, bool)
    for crop in crops:
        low = np.maximum(crop.start, 0)
        high = np.minimum(np.array(crop.start) + 16, geometry.shape)
        covered[tuple(slice(a, b) for a, b in zip(low, high))] = True
    np.testing.assert_array_equal(region, covered)
    assert_allclose(probability[covered], binary[covered] / 1000, atol=1e-6)
    assert not probability[~covered].any()


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "LAS"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (1.0, 1.0, 2.0)])
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_planted_sheet_returns_at_its_place_in_the_world(codes, spacing, plane):
    """Through crop, resampling, slices and fusion the centroid of a sheet moves less than 1 mm."""
    shape = tuple(int(70 / s) for s in spacing)
    geometry = _geometry(shape, spacing, codes)
    d, h, w = (np.arange(n) * s for n, s in zip(shape, spacing))
    sheet = (np.abs(d - 31)[:, None, None] < 2.6) & (np.abs(h - 37)[:, None] < 12) & (w > 25)
    sheet = sheet & (w < 45)
    ct = Volume((sheet * 1000).astype(np.int16), geometry)
    settings = PrepareSettings(voxel_spacing=1.25, crop_shape=(40, 40, 40))
    centre = tuple(np.array((35.0, 35, 35)) / spacing)
    crops = place_crops([_vertebra(centre)], geometry, settings)
    predictor = Echo(plane)
    predictions = predictor.slices(None, cut_ct(ct, crops, settings))
    fused = predictor.fuse(predictions, [crops[0].start], 0.5)
    probability, _ = fused.on_ct(geometry, settings.voxel_spacing, "mean")

    def centroid(weights):
        index = np.array([np.average(i, weights=weights) for i in np.indices(shape)])
        return geometry.affine[:3, :3] @ index + geometry.affine[:3, 3]

    assert np.linalg.norm(centroid(probability) - centroid(sheet.astype(float))) < 1.0
    assert probability[sheet].mean() > 0.6
