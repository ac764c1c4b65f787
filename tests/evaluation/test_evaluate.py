"""The evaluator on a case on disk, with a predictor that knows its answer."""

import gc
import os
import signal
import weakref
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from vfseg.crops.prepare import prepare_cases
from vfseg.crops.settings import PrepareSettings
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import write_ct, write_labels
from vfseg.errors import UserError
from vfseg.evaluation.evaluate import Evaluator
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.thresholds import choose, of_highest_dice
from vfseg.evaluation.vertebrae import with_evidence
from vfseg.inference.views import Views
from vfseg.stopping import STOP, Stopped

SETTINGS = PrepareSettings(voxel_spacing=2.0, crop_shape=(16, 16, 16), vertebra_scheme="verse")
SHAPE = (36, 24, 24)
EMPTY = ScoreHistogram()


def write_case(folder, name, fractured=True):
    """Two vertebrae; a fracture is where the CT has 900 HU."""
    geometry = geometry_from(SHAPE[::-1], np.diag([2.0, 2, 2, 1]))
    labels, truth = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[20:32, 6:18, 6:18], labels[4:16, 6:18, 6:18] = 20, 21
    if fractured:
        truth[24:26, 9:15, 9:15], truth[8:10, 9:15, 9:12] = 1, 2
    files = {key: folder / name / f"{key}.nii.gz" for key in ("ct", "vertebrae", "fractures")}
    hu = np.where(truth > 0, 900, 100).astype(np.int16)
    hu[0, 0] = -1000  # air: else they would be no Hounsfield units
    write_ct(files["ct"], hu, geometry)
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
    for record, predictions, scores in found:
        assert predictions.shape == (len(record.crops), 4, 16, 16, 16)
        counts = scores.histogram.counts
        assert counts.sum() == 2 * len(record.crops) * 16**3  # two planes, unmirrored
        assert not counts[:, 0].any()  # a mirrored view would be 0


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
        *("mask.nii.gz", "probability.nii.gz", "uncertainty.nii.gz", "digests.json"),
    }


class Alive:
    """How many of the arrays that were handed out still are in memory."""

    def __init__(self):
        self.references = []

    def number(self):
        gc.collect()
        return sum(reference() is not None for reference in self.references)

    def alone(self, array):
        """Hands out an array; no other may be left."""
        assert self.number() == 0
        self.references.append(weakref.ref(array))
        return array


@pytest.mark.usefixtures("quick_collection")
@pytest.mark.parametrize("fusion", ["mean", "vote"])
def test_one_case_at_a_time_is_in_memory_and_predicted_once(prepared, monkeypatch, fusion):
    cases, records, evaluator = prepared
    records = [records[number] for number in (0, 1, 2, 0, 1)]
    evaluator = replace(evaluator, fusion=fusion)
    # What it must come to: everything in memory at once.
    predicted = list(evaluator.predict_slices(records, "validation"))
    of_slices = of_highest_dice(sum((p.scores.histogram for p in predicted), EMPTY), "slice")
    scores = evaluator.score(cases, predicted, of_slices)
    units = [unit for s in scores for unit in with_evidence(s.vertebrae)]
    wanted = choose(of_slices, sum((s.voxels for s in scores), EMPTY), units)

    alive, load = Alive(), np.load

    class Watched(Oracle):
        def slices(self, g_params, crops):
            return alive.alone(super().slices(g_params, crops))

    monkeypatch.setattr(np, "load", lambda *args, **options: alive.alone(load(*args, **options)))
    found = replace(evaluator, predictor=Watched()).choose_thresholds(cases, records)
    assert found == wanted
    assert len(alive.references) == 2 * len(records)  # predicted once, read back once
    assert alive.number() == 0
    assert sorted(path.name for path in evaluator.store.iterdir()) == ["no", "one", "two"]


@pytest.mark.usefixtures("quick_collection")
def test_scored_cases_do_not_pile_up(prepared):
    cases, records, evaluator = prepared
    alive = Alive()

    def predicted():
        for record in [*records, *records]:
            case = next(evaluator.predict_slices([record], "test"))
            alive.alone(case.predictions)
            yield case
            del case

    assert len(evaluator.score(cases, predicted(), 0.5)) == 6


def test_it_ends_between_cases_where_it_is_asked_to(prepared):
    _, records, evaluator = prepared
    with STOP.listening():
        predicted = evaluator.predict_slices(records, "test")
        assert [next(predicted).record.case_id for _ in range(2)] == ["one", "two"]
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped, match=r"SIGINT: stopped\. Nothing is scored yet"):
            next(predicted)


def test_validation_without_a_fracture_chooses_nothing(prepared):
    cases, records, evaluator = prepared
    with pytest.raises(UserError, match="validation cases show no fracture"):
        evaluator.choose_thresholds(cases, records[2:])
