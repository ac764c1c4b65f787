import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from tests.report.scene import SPACING, make_scene, without_spine
from vfseg.data.geometry import geometry_from
from vfseg.data.probability import code_score, score_bin
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.inference.boxed_map import BoxedMap
from vfseg.report.scene import Reference, Scene
from vfseg.report.solids import SURFACE, build_solids


def without_labels(scene):
    return dataclasses.replace(scene, spine=scene.spine._replace(labels=None))


def volume_of(field, solids):
    return (field >= SURFACE).sum() * solids.spacing**3


@pytest.mark.parametrize("labels", [True, False])
def test_bone_field_has_the_volume_of_the_bone(labels):
    """From the label map, and from HU >= 200 inside the boxes: the scene's bone is 300 HU."""
    scene = make_scene()
    solids = build_solids(scene if labels else without_labels(scene))
    voxels = 2 * 14 * 25 * 20
    volume = volume_of(solids.bone, solids)
    assert volume == pytest.approx(voxels * np.prod(SPACING), rel=0.05)


def test_solids_know_where_they_are():
    scene = make_scene()
    solids = build_solids(scene)
    spacing = np.linalg.norm(solids.affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, solids.spacing)
    for (name, centre), vertebra in zip(solids.levels, scene.spine.vertebrae, strict=True):
        assert name == vertebra.level
        world = solids.affine @ [*centre, 1]
        np.testing.assert_allclose(world, scene.ct.affine @ [*vertebra.centre, 1], atol=1e-9)
        assert solids.bone[tuple(np.rint(centre).astype(int))] == pytest.approx(1.0, abs=1e-3)


def test_a_sheet_of_one_voxel_survives_a_coarser_grid():
    geometry = geometry_from((60, 60, 60), np.diag([0.3, 0.3, 0.3, 1.0]))
    probability = np.zeros((60, 60, 60), np.float32)
    probability[30, 10:50, 10:50] = 0.9
    ct = Volume(np.zeros((60, 60, 60), np.int16), geometry)
    solids = build_solids(Scene("", ct, Spine((), None, (), ()), probability, 0.5))
    assert solids.spacing == 0.8  # coarser than the 0.3 mm of the sheet
    along = (solids.fracture >= SURFACE).any(axis=0)
    assert along.sum() * solids.spacing**2 == pytest.approx(12.0**2, rel=0.2)


@pytest.mark.parametrize("spacing", [0.3, 0.7, 0.8, 1.0, 1.7])
def test_no_predicted_voxel_is_passed_over(spacing):
    """Single voxels, 6 apart along each axis: as many parts in the field, whatever its grid."""
    shape = (25, 25, 25)
    geometry = geometry_from(shape, np.diag([spacing] * 3 + [1.0]))
    probability = np.zeros(shape, np.float32)
    probability[::6, ::6, ::6] = 0.9
    ct = Volume(np.zeros(shape, np.int16), geometry)
    solids = build_solids(Scene("", ct, Spine((), None, (), ()), probability, 0.5))
    assert ndimage.label(solids.fracture >= SURFACE)[1] == 5**3


@pytest.mark.parametrize("boxed", [False, True])
def test_voxels_exactly_at_the_threshold_are_a_solid(boxed):
    """6 votes of 15 against a threshold of 0.4: as float32 the stored value is below it."""
    scene = make_scene()
    votes = np.where(scene.probability > 0.8, 6 / 15, np.where(scene.probability > 0, 5 / 15, 0))
    stored = code_score(score_bin(votes))
    assert stored.max() < 0.4
    probability = stored
    if boxed:
        box = (slice(10, 40), slice(20, 50), slice(5, 30))
        probability = BoxedMap(stored.shape, box)
        probability.fill(box, votes[box])
        np.testing.assert_array_equal(probability[:], stored)
    solids = build_solids(dataclasses.replace(scene, probability=probability, threshold=0.4))
    volume = volume_of(solids.fracture, solids)
    assert volume == pytest.approx(2 * 18 * 16 * np.prod(SPACING), rel=0.25)


@pytest.mark.parametrize("spacing", [0.3, 1.7])
def test_no_voxel_of_the_truth_is_passed_over(spacing):
    """As of the prediction: single voxels, 6 apart."""
    shape = (25, 25, 25)
    geometry = geometry_from(shape, np.diag([spacing] * 3 + [1.0]))
    ones, instances = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    ones[[0, -1], [0, -1], [0, -1]] = 0.1  # below the threshold: what is looked at
    instances[::6, ::6, ::6] = 1
    ct = Volume(np.zeros(shape, np.int16), geometry)
    reference = Reference(instances, synthetic=False)
    solids = build_solids(Scene("", ct, Spine((), None, (), ()), ones, 0.5, reference))
    assert ndimage.label(solids.truth >= SURFACE)[1] == 5**3
    assert not solids.fracture.any()


def test_where_nothing_is_there_is_no_solid():
    scene = make_scene()
    empty = dataclasses.replace(scene, probability=np.zeros_like(scene.probability))
    assert build_solids(without_spine(empty)) is None
    assert not build_solids(empty).fracture.any()
