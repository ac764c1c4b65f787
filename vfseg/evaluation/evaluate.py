"""Scores a trained model: thresholds from validation cases, figures from test cases."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import logging
from tqdm import tqdm

from vfseg import processes
from vfseg.crops.settings import PrepareSettings
from vfseg.crops.store import CaseArrays, CaseRecord, read_crops
from vfseg.crops.training_range import outside_training
from vfseg.data.cases import Case
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.instances import instances_are_marked
from vfseg.data.spine import read_spine
from vfseg.digests import write_digests
from vfseg.evaluation.case_scores import CaseScores, KnownCase, measure_case
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.slices import SlicesOfCase, SliceSpool, score_slices
from vfseg.evaluation.thresholds import choose_from, of_highest_dice
from vfseg.evaluation.truth import known_fractures
from vfseg.inference.case import MASK, PROBABILITY, write_maps
from vfseg.inference.predict import Predictor
from vfseg.inference.thresholds import Thresholds
from vfseg.stopping import STOP


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
        """Predicts the cases one after the other, holding on to none; `what` names the bar."""
        for record in tqdm(records, what, unit="case", disable=None):
            STOP.after_case("Nothing is scored yet; the same command evaluates from the start.")
            yield self._slices_of(record)

    def _slices_of(self, record: CaseRecord) -> SlicesOfCase:
        arrays = CaseArrays(self.store, record)
        predictions = self.predictor.slices(self.g_params, read_crops(arrays.ct))
        truth = read_crops(arrays.fractures)
        scores = score_slices(predictions, truth, self.predictor.views)
        return SlicesOfCase(record, predictions, scores)

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

        def score_one(slices: SlicesOfCase) -> CaseScores:
            case, record = by_id[slices.record.case_id], slices.record
            everywhere = slices.fused(self.predictor.views, self.fusion, slice_threshold)
            ct = read_hounsfield(case.ct)
            fractures = known_fractures(case, ct, marked)
            spine = read_spine(case, ct.geometry, self.settings)
            fused = everywhere.near_vertebrae(spine, ct.geometry)
            box = fused.box(ct.geometry)
            outside = outside_training(ct.geometry, self.settings.voxel_spacing)
            if outside and thresholds:
                logging.warning("%s: %s: outside the range of training", case.case_id, outside)
            measured = measure_case(
                KnownCase(case, record.fingerprint, ct, spine, fractures, outside),
                slices.scores,
                fused.part_on_ct(ct.geometry, box),
                box,
                thresholds,
            )
            if output and thresholds:
                write_maps(fused, ct.geometry, thresholds.fused, output / case.case_id)
                write_digests(output / case.case_id, (PROBABILITY, MASK))
            return measured

        # A loop would hold on to the predictions of a case while the next one is predicted.
        return list(map(score_one, predicted))

    def choose_thresholds(self, cases: Sequence[Case], records: Sequence[CaseRecord]) -> Thresholds:
        """Thresholds and temperature from validation cases; see `choose`.

        Every case is predicted once. Its slices wait on disk, beside the crops in the store, until
        all cases together have chosen the slice threshold by which they may vote. With several
        processes each predicts its part of the cases, and all get the same answer.

        Raises:
            UserError: no validation case, or none with a fracture; no space for the predictions.
        """
        with SliceSpool(self.store) as spool:
            spool.add(self.predict_slices(processes.share(records), "validation"))
            of_slices = of_highest_dice(gather_slices(spool), "slice")
            return choose_from(gather_scores(self.score(cases, spool, of_slices)), of_slices)


def gather_slices(spool: SliceSpool) -> ScoreHistogram:
    """Of the slices of all predicted cases, those of all processes, on each of them."""
    own = sum((scores.histogram for scores in spool.scores), ScoreHistogram())
    return sum(processes.gather(own, ScoreHistogram), ScoreHistogram())


def gather_scores(scores: list[CaseScores]) -> list[CaseScores]:
    """The scores of all processes, on each of them."""
    return [score for part in processes.gather(scores, list[CaseScores]) for score in part]
