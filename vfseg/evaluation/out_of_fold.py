"""Cases judged by models that did not train on their patients, all of these models together.

Thresholds and verdict are fitted out of fold, too: those that judge the cases of one model come
from what the others say of whom they left out, so no figure has seen its own truth, and no patient
is kept from training only to choose thresholds by.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from vfseg import processes
from vfseg.crops.store import CaseRecord
from vfseg.data.cases import Case
from vfseg.errors import UserError
from vfseg.evaluation.case_scores import CaseScores
from vfseg.evaluation.evaluate import Evaluator, gather_scores, gather_slices
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.slices import SliceSpool
from vfseg.evaluation.summary import judged, summarise, write_evaluation
from vfseg.evaluation.thresholds import OUT_OF_FOLD, of_highest_dice, out_of_sample
from vfseg.inference.thresholds import Thresholds


class Fold(NamedTuple):
    """A model, and the cases of patients on whom it did not train.

    Attributes:
        name: for the bar of its predictions.
        evaluator: of the model.
        cases: of the data set, those of `records` among them.
        records: of the cases that it judges, one at least.
    """

    name: str
    evaluator: Evaluator
    cases: Sequence[Case]
    records: Sequence[CaseRecord]


class Evaluated(NamedTuple):
    """What an evaluation found.

    Attributes:
        thresholds: that judged the cases.
        scores: of the cases.
    """

    thresholds: Thresholds
    scores: list[CaseScores]


def judge_out_of_fold(folds: Sequence[Fold]) -> tuple[list[Evaluated], Thresholds]:
    """Scores the cases of every fold by its model, with the thresholds of the other folds.

    Every case is predicted once; its slices wait on disk, beside the crops in the store, until all
    folds are predicted. With several processes each takes its share of the cases, and all get the
    same answer.

    Args:
        folds: two or more; no case belongs to two.

    Returns:
        What was found of each fold; and thresholds from all of them, for a model of all patients.

    Raises:
        UserError: the other folds of one show no fracture; no space for the predictions.
    """
    with ExitStack() as spools:
        predicted: list[SliceSpool] = []
        for fold in folds:
            spool = spools.enter_context(SliceSpool(fold.evaluator.store))
            spool.add(fold.evaluator.predict_slices(processes.share(fold.records), fold.name))
            predicted.append(spool)
        slices = [gather_slices(spool) for spool in predicted]
        first: list[list[CaseScores]] = []
        for number, (fold, spool) in enumerate(zip(folds, predicted)):
            threshold = _slice_threshold([*slices[:number], *slices[number + 1 :]])
            first.append(gather_scores(fold.evaluator.score(fold.cases, spool, threshold)))
        evaluated: list[Evaluated] = []
        for number, (fold, spool) in enumerate(zip(folds, predicted)):
            others = [*first[:number], *first[number + 1 :]]
            chosen = out_of_sample([score for scores in others for score in scores])
            scores = fold.evaluator.score(fold.cases, spool, chosen.slice, thresholds=chosen)
            evaluated.append(Evaluated(chosen, gather_scores(scores)))
        return evaluated, out_of_sample([score for scores in first for score in scores])


def write_out_of_fold(
    folder: Path,
    evaluated: Sequence[Evaluated],
    thresholds: Thresholds,
    *,
    synthetic: bool,
    seed: int,
    made_from: Mapping[str, Any],
) -> None:
    """Writes the evaluation of all folds together, as `write_evaluation` does.

    Args:
        folder: of the files.
        evaluated: of each fold.
        thresholds: from all of them.
        synthetic: whether the truth is.
        seed: of the intervals.
        made_from: goes into the summary.
    """
    scores = [score for fold in evaluated for score in fold.scores]
    by = {score.case.case_id: fold.thresholds for fold in evaluated for score in fold.scores}
    cases = judged(scores, thresholds, by)
    summary = summarise(cases, split=OUT_OF_FOLD, synthetic=synthetic, seed=seed)
    write_evaluation(folder, {**summary, **made_from}, cases)


def _slice_threshold(histograms: Sequence[ScoreHistogram]) -> float:
    """The slice threshold of a fold, from the others."""
    slices = sum(histograms, ScoreHistogram())
    if not slices.counts[1].any():
        raise UserError(
            "all folds but one show no fracture, so nobody can choose the thresholds of that one. "
            "Take fewer folds, or more patients with a fracture."
        )
    return of_highest_dice(slices, "slice")
