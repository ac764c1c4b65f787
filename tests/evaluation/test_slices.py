"""Scores of unfused slices, and predictions that wait on disk."""

import errno
import io
import tempfile

import numpy as np
import pytest

from vfseg.crops.store import CaseRecord
from vfseg.errors import UserError
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.slices import SliceScores, SlicesOfCase, SliceSpool, score_slices, slice_units
from vfseg.inference.views import View, Views


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


def test_mirrored_and_moved_views_are_not_scored():
    rng = np.random.default_rng(0)
    views = Views(("axial", "sagittal"), flips=True, shifts=1)
    predictions = rng.random((2, len(views), 4, 4, 4)).astype(np.float32)
    truth = (rng.random((2, 4, 4, 4)) < 0.3).astype(np.uint8)
    wanted, units = ScoreHistogram(), []
    for axis in (0, 2):
        view = View(axis, False, (0, 0, 0))
        plain = predictions[:, list(views).index(view)]
        wanted.add(plain, truth)
        units += slice_units(plain, truth, view)
    found = score_slices(predictions, truth, views)
    np.testing.assert_array_equal(found.histogram.counts, wanted.counts)
    assert found.units == tuple(units)


def cases(number):
    """Predictions of cases of different sizes, made only when they are asked for."""
    rng = np.random.default_rng(0)
    for case in range(number):
        record = CaseRecord(f"case{case}", "p", "", 1.0, (3, 4, 5), ())
        array = rng.random((1 + case, 2, 3, 4, 5)).astype(np.float32)
        yield SlicesOfCase(record, array, SliceScores(ScoreHistogram(), ((float(case), False),)))


def test_what_waits_on_disk_comes_back_as_it_was_and_leaves_nothing_behind(tmp_path):
    with SliceSpool(tmp_path) as spool:
        spool.add(cases(4))
        assert [scores.units for scores in spool.scores] == [case.scores.units for case in cases(4)]
        for _ in range(2):  # as often as it is asked for
            for case, original in zip(spool, cases(4), strict=True):
                assert case.record == original.record
                assert case.scores.units == original.scores.units
                np.testing.assert_array_equal(case.predictions, original.predictions)
                assert case.predictions.dtype == np.float32
    assert not list(tmp_path.iterdir())


class FullDisk(io.BytesIO):
    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_cannot_be_written_to_and_a_full_disk_are_named(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"missing: .*No such file.*--workdir"):
        SliceSpool(tmp_path / "missing")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: FullDisk())
    with (
        SliceSpool(tmp_path) as spool,
        pytest.raises(UserError, match=r"cannot wait there \(No space left on device"),
    ):
        spool.add(cases(1))
