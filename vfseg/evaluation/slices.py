"""Unfused slice predictions of a case: their scores, their fusion, and where they wait on disk."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from vfseg.crops.store import CaseRecord
from vfseg.errors import UserError
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.inference.case_map import CaseMap, fuse_case
from vfseg.inference.views import View, Views


class SliceScores(NamedTuple):
    """How the slices of a case compare with the truth of its crops.

    Attributes:
        histogram: voxels of the slices that are neither mirrored nor moved; planes are pooled.
        units: (highest probability, any truth) of each of these slices.
    """

    histogram: ScoreHistogram
    units: tuple[tuple[float, bool], ...] = ()


class SlicesOfCase(NamedTuple):
    """Unfused predictions of one case.

    Attributes:
        record: of the case in the store.
        predictions: probabilities float32 `n v d h w`, one a crop and view.
        scores: against the truth of the crops.
    """

    record: CaseRecord
    predictions: np.ndarray
    scores: SliceScores

    def fused(self, views: Views, fusion: str, slice_threshold: float) -> CaseMap:
        """The map of the case.

        Args:
            views: those of the predictions.
            fusion: one of `FUSIONS`.
            slice_threshold: probability from which a slice prediction votes.
        """
        return fuse_case(
            self.predictions,
            [crop.start for crop in self.record.crops],
            spread=len(views) > 1,
            fusion=fusion,
            slice_threshold=slice_threshold,
            voxel_spacing=self.record.voxel_spacing,
        )


def score_slices(predictions: np.ndarray, truth: np.ndarray, views: Views) -> SliceScores:
    """Compares the views that are neither mirrored nor moved with the truth.

    Args:
        predictions: probabilities `n v d h w`.
        truth: of the crops, `n d h w`; not 0 is fracture.
        views: those of the predictions.
    """
    histogram, units = ScoreHistogram(), []
    for number, view in enumerate(views):
        if not (view.flipped or any(view.shift)):
            histogram.add(predictions[:, number], truth)
            units += slice_units(predictions[:, number], truth, view)
    return SliceScores(histogram, tuple(units))


def slice_units(predictions: np.ndarray, truth: np.ndarray, view: View) -> list[tuple[float, bool]]:
    """The highest probability in each slice, and whether the slice shows a fracture.

    Args:
        predictions: of a view, `n d h w`.
        truth: of the crops, `n d h w`; not 0 is fracture.
        view: along whose axis the slices follow each other.
    """
    within = tuple({1, 2, 3} - {view.axis + 1})
    scores, shown = predictions.max(axis=within), (truth != 0).any(axis=within)
    return list(zip(scores.ravel().tolist(), shown.ravel().tolist()))


class SliceSpool:
    """Predictions of many cases that wait on disk, so that memory holds those of one.

    A threshold that all cases choose together is known only when the last is predicted; then each
    is needed again. They lie in one file without a name, which the system removes however the
    process ends.

    Attributes:
        scores: of each case, in the order in which they came.
    """

    def __init__(self, folder: Path):
        """Opens the file.

        Args:
            folder: on a disk with room for float32 `n v d h w` of every case.

        Raises:
            UserError: nothing can be written there.
        """
        self.scores: list[SliceScores] = []
        self._records: list[CaseRecord] = []
        self._folder = folder
        try:
            self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as error:
            raise self._cannot_write(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, predicted: Iterable[SlicesOfCase]) -> None:
        """Writes cases as they come, and lets go of each before the next is asked for.

        Raises:
            UserError: the disk is full.
        """
        for case in predicted:
            try:
                np.save(self._file, case.predictions, allow_pickle=False)
                self._file.flush()
            except OSError as error:
                raise self._cannot_write(error) from error
            self._records.append(case.record)
            self.scores.append(case.scores)
            del case  # else it stays until the next one is predicted

    def __iter__(self) -> Iterator[SlicesOfCase]:
        """The cases in the order in which they came, read back one at a time."""
        self._file.seek(0)
        for record, scores in zip(self._records, self.scores):
            yield SlicesOfCase(record, np.load(self._file, allow_pickle=False), scores)

    def _cannot_write(self, error: OSError) -> UserError:
        return UserError(
            f"{self._folder}: the slice predictions of the validation cases cannot wait there "
            f"({error.strerror or error}). They take 4 bytes for each voxel of a crop and "
            "view. Make room there, or choose a --workdir (or --data) on another disk."
        )
