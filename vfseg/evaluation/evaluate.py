"""Scores a trained model: thresholds from validation cases, figures from test cases."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vfseg import processes
from vfseg.crops.prepare import PrepareSettings
from vfseg.crops.store import CaseArrays, CaseRecord
from vfseg.data.cases import Case
from vfseg.data.instances import instances_are_marked
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_ct
from vfseg.evaluation.case_scores import CaseScores, measure_case
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.thresholds import Thresholds, choose, of_highest_dice
from vfseg.evaluation.truth import read_truth
from vfseg.inference.case import write_maps
from vfseg.inference.case_map import fuse_case
from vfseg.inference.predict import Predictor
from vfseg.inference.views import View


class SlicesOfCase(NamedTuple):
    """Unfused predictions of one case.

    Attributes:
        record: of the case in the store.
        predictions: probabilities float32 `n v d h w`, one a crop and view.
        scores: histogram of those that are neither mirrored nor moved, against the truth of the
            crops; planes are pooled.
        units: (highest prediction, any truth) of each of these slices.
    """

    record: CaseRecord
    predictions: np.ndarray
    scores: ScoreHistogram
    units: tuple[tuple[float, bool], ...] = ()


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Scores cases from the store with one model.

    Attributes:
        predictor: of the model.
        g_params: its parameters.
        store: folder of the prepared crops.
        fusion: one of `FUSIONS`.
        settings: of the preparation: how label maps and boxes are read.
    """

    predictor: Predictor
    g_params: Any
    store: Path
    fusion: str
    settings: PrepareSettings

    def predict_slices(self, records: Sequence[CaseRecord], what: str) -> Iterator[SlicesOfCase]:
        """Predicts the cases one after the other; `what` names the progress bar."""
        plain = [
            (number, view)
            for number, view in enumerate(self.predictor.views)
            if not (view.flipped or any(view.shift))
        ]
        for record in tqdm(records, what, unit="case", disable=None):
            arrays = CaseArrays(self.store, record.case_id)
            predictions = self.predictor.slices(self.g_params, arrays.ct[...].read().result())
            truth, histogram = arrays.fractures[...].read().result(), ScoreHistogram()
            units: list[tuple[float, bool]] = []
            for number, view in plain:
                histogram.add(predictions[:, number], truth)
                units += slice_units(predictions[:, number], truth, view)
            yield SlicesOfCase(record, predictions, histogram, tuple(units))

    def score(
        self,
        cases: Sequence[Case],
        predicted: Iterable[SlicesOfCase],
        slice_threshold: float,
        *,
        thresholds: Thresholds | None = None,
        output: Path | None = None,
    ) -> list[CaseScores]:
        """Scores cases, and writes their maps and masks where an output is named.

        Args:
            cases: of the data set, those that are predicted with a fracture mask each.
            predicted: from `predict_slices`, of any of them.
            slice_threshold: for the vote.
            thresholds: from validation; None while they are still to be chosen: then lesions and
                surfaces are left out.
            output: folder of the predictions; only with thresholds.
        """
        by_id = {case.case_id: case for case in cases}
        marked = instances_are_marked(cases)
        scores = []
        for record, predictions, slices, units in predicted:
            case = by_id[record.case_id]
            fused = fuse_case(
                predictions,
                [crop.start for crop in record.crops],
                views=self.predictor.views,
                fusion=self.fusion,
                slice_threshold=slice_threshold,
                voxel_spacing=record.voxel_spacing,
            )
            ct = read_ct(case.ct)
            truth, spine = read_truth(case, ct), read_spine(case, ct.geometry, self.settings)
            box = fused.box(ct.geometry)
            measured = measure_case(
                case,
                record.fingerprint,
                slices,
                ct,
                spine,
                truth,
                fused.part_on_ct(ct.geometry, box),
                [side.start for side in box],
                marked=marked,
                thresholds=thresholds,
            )
            scores.append(dataclasses.replace(measured, slice_units=units))
            if output and thresholds:
                write_maps(fused, ct.geometry, thresholds.fused, output / case.case_id)
        return scores

    def choose_thresholds(self, cases: Sequence[Case], records: Sequence[CaseRecord]) -> Thresholds:
        """Thresholds and temperature from validation cases; see `choose`.

        With several processes each predicts its share of the cases, and all get the same answer.

        Raises:
            UserError: no validation case, or none with a fracture.
        """
        predicted = list(self.predict_slices(processes.share(records), "validation"))
        own = sum((case.scores for case in predicted), ScoreHistogram())
        slices = sum(processes.gather(own), ScoreHistogram())
        of_slices = of_highest_dice(slices, "slice")
        scores = together(self.score(cases, predicted, of_slices))
        voxels = sum((s.voxels for s in scores), ScoreHistogram())
        units = [(v.score, v.fractured) for s in scores for v in s.vertebrae]
        return choose(of_slices, voxels, units)


def together(scores: list[CaseScores]) -> list[CaseScores]:
    """The scores of all processes."""
    return [score for part in processes.gather(scores) for score in part]


def slice_units(predictions: np.ndarray, truth: np.ndarray, view: View) -> list[tuple[float, bool]]:
    """Whether each slice shows a fracture, and the highest probability in it.

    Args:
        predictions: of a view, `n d h w`.
        truth: of the crops, `n d h w`; not 0 is fracture.
        view: along whose axis the slices follow each other.
    """
    within = tuple({1, 2, 3} - {view.axis + 1})
    scores, shown = predictions.max(axis=within), (truth != 0).any(axis=within)
    return list(zip(scores.ravel().tolist(), shown.ravel().tolist()))
