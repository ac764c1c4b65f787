"""The evaluator on a case on disk, with a predictor that knows its answer."""

import nibabel as nib
import numpy as np
import pytest

from vfseg.crops.prepare import PrepareSettings, prepare_cases
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import write_ct, write_labels
from vfseg.errors import UserError
from vfseg.evaluation.evaluate import Evaluator, slice_units
from vfseg.inference.views import View, Views

SETTINGS = PrepareSettings(voxel_spacing=2.0, crop_shape=(16, 16, 16), vertebra_scheme="verse")
SHAPE = (36, 24, 24)


def write_case(folder, name, fractured=True):
    """Two vertebrae; a fracture is where the CT has 900 HU."""
    geometry = geometry_from(SHAPE[::-1], np.diag([2.0, 2, 2, 1]))
    labels, truth = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[20:32, 6:18, 6:18], labels[4:16, 6:18, 6:18] = 20, 21
    if fractured:
        truth[24:26, 9:15, 9:15], truth[8:10, 9:15, 9:12] = 1, 2
    files = {key: folder / name / f"{key}.nii.gz" for key in ("ct", "vertebrae", "fractures")}
    write_ct(files["ct"], np.where(truth > 0, 900, 100).astype(np.int16), geometry)
    write_labels(files["vertebrae"], labels, geometry)
    write_labels(files["fractures"], truth, geometry)
    return Case(name, name, **files)


class Oracle:
    """Calls bright voxels fractured, in the view of each plane; mirrored and moved ones never."""

    views = Views(("sagittal", "axial"), flips=True)

    def slices(self, g_params, crops):
        seen = np.where(crops > 500, np.float32(g_params), np.float32(0.125))
        return np.stack([seen * (not view.flipped) for view in self.views], axis=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    cases = [write_case(folder, "one"), write_case(folder, "two"), write_case(folder, "no", False)]
    records, left_out = prepare_cases(cases, SETTINGS, folder / "store")
    assert not left_out
    return cases, records, Evaluator(Oracle(), 0.75, folder / "store", "mean", SETTINGS)


def test_slices_are_scored_in_the_plain_views_alone(prepared):
    _, records, evaluator = prepared
    found = list(evaluator.predict_slices(records, "test"))
    for record, predictions, scores, _ in found:
        assert predictions.shape == (len(record.crops), 4, 16, 16, 16)
        assert scores.counts.sum() == 2 * len(record.crops) * 16**3  # two planes, unmirrored
        assert not scores.counts[:, 0].any()  # a mirrored view would be 0


def test_validation_chooses_and_the_test_case_is_scored_with_that(prepared, tmp_path):
    cases, records, evaluator = prepared
    thresholds = evaluator.choose_thresholds(cases, [records[0], records[2]])
    assert thresholds.slice == pytest.approx(0.75, abs=1e-5)
    # Half of the views see nothing: the mean of four is half of what the plain ones say.
    assert 0.0625 < thresholds.fused <= 0.375 + 1e-5
    (scores,) = evaluator.score(
        cases,
        evaluator.predict_slices(records[1:2], "test"),
        thresholds.slice,
        thresholds=thresholds,
        output=tmp_path,
    )
    assert scores.case.case_id == "two"
    assert scores.fingerprint == records[1].fingerprint
    assert scores.voxels.overlap(thresholds.fused)["dice"] == 1.0
    assert scores.voxels.counts.sum() == 2 * 16**3  # the union of two crops that do not overlap
    assert [x.found[0] for x in scores.lesions.lesions] == [pytest.approx(0.375, abs=1e-4)] * 2
    assert [v.fractured for v in scores.vertebrae] == [True, True]
    mask = np.asarray(nib.load(tmp_path / "two" / "mask.nii.gz").dataobj)
    np.testing.assert_array_equal(mask, np.asarray(nib.load(cases[1].fractures).dataobj) > 0)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        *("mask.nii.gz", "probability.nii.gz", "uncertainty.nii.gz"),
    }


def test_validation_without_a_fracture_chooses_nothing(prepared):
    cases, records, evaluator = prepared
    with pytest.raises(UserError, match="validation cases show no fracture"):
        evaluator.choose_thresholds(cases, records[2:])


def test_a_slice_has_its_highest_prediction_and_any_truth():
    """Slices of the view follow each other along d, h or w; everything else is one slice."""
    rng = np.random.default_rng(0)
    predictions = rng.uniform(size=(2, 3, 4, 5)).astype(np.float32)
    truth = np.zeros((2, 3, 4, 5), np.uint8)
    truth[1, 2, 1, 4] = 3
    for axis in range(3):
        units = slice_units(predictions, truth, View(axis, False, (0, 0, 0)))
        crops = [np.moveaxis(crop, axis, 0) for crop in predictions]
        assert [score for score, _ in units] == [float(s.max()) for crop in crops for s in crop]
        positive = [number for number, (_, shown) in enumerate(units) if shown]
        assert positive == [predictions.shape[axis + 1] + (2, 1, 4)[axis]]
