"""Scores a trained model: thresholds from validation cases, figures from test cases."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from tqdm import tqdm

from vfseg.data.cases import Case
from vfseg.data.probability import reaches
from vfseg.data.store import CaseArrays, CaseRecord
from vfseg.data.volume import (
    atomic_file,
    check_same_geometry,
    read_ct,
    read_labels,
    write_labels,
    write_probability,
)
from vfseg.errors import UserError
from vfseg.evaluation.hounsfield_floor import HounsfieldHistogram, hu_threshold_floor
from vfseg.evaluation.metrics import ScoreHistogram, Threshold, confusion, prevalence
from vfseg.evaluation.statistics import pooled_metrics
from vfseg.inference.predict import Predictor

RESEARCH_USE = "Research use only. Not a medical device, not for diagnosis."


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Chosen on validation, never on test.

    Attributes:
      slice: for unfused slices, and for the vote.
      fused: for the fused map.
    """

    slice: Threshold
    fused: Threshold


class SlicesOfCase(NamedTuple):
    """Unfused predictions of one case.

    Attributes:
      record: of the case in the store.
      predictions: probabilities float32 `n d h w`, one a crop.
      scores: their histogram against the truth of the crops.
    """

    record: CaseRecord
    predictions: np.ndarray
    scores: ScoreHistogram


@dataclasses.dataclass
class CaseScores:
    """Additive counts of one case.

    Attributes:
      case: what was scored.
      slices: target slices in the crop grid, unfused.
      voxels: fused map in the CT's grid, inside the union of the crops.
      hounsfield: CT values of the same voxels.
      whole: int64 (negative, positive) voxels of the whole CT.
      voxel_ml: volume of a voxel, mL.
    """

    case: Case
    slices: ScoreHistogram
    voxels: ScoreHistogram
    hounsfield: HounsfieldHistogram
    whole: np.ndarray
    voxel_ml: float


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Scores cases from the store with one model.

    Attributes:
      predictor: of the model.
      g_params: its parameters.
      store: folder of the prepared crops.
      fusion: "mean" or "vote".
    """

    predictor: Predictor
    g_params: Any
    store: Path
    fusion: str

    def predict_slices(self, records: Sequence[CaseRecord], what: str) -> Iterator[SlicesOfCase]:
        """Predicts the cases one after the other; `what` names the progress bar."""
        for record in tqdm(records, what, unit="case", disable=None):
            arrays = CaseArrays(self.store, record.case_id)
            predictions = self.predictor.slices(self.g_params, arrays.ct[...].read().result())
            histogram = ScoreHistogram()
            histogram.add(predictions, arrays.fractures[...].read().result())
            yield SlicesOfCase(record, predictions, histogram)

    def score(
        self,
        cases: Sequence[Case],
        predicted: Iterable[SlicesOfCase],
        slice_threshold: float,
        *,
        output: tuple[Path, float] | None = None,
    ) -> list[CaseScores]:
        """Scores cases, and writes their maps and masks where an output is named.

        Args:
          cases: with a fracture mask each.
          predicted: from `predict_slices`, of any of them.
          slice_threshold: for the vote.
          output: folder of the predictions, and the threshold of the mask.
        """
        by_id = {case.case_id: case for case in cases}
        scores = []
        for record, predictions, slices in predicted:
            case = by_id[record.case_id]
            starts = [crop.start for crop in record.crops]
            fused = self.predictor.fuse(predictions, starts, slice_threshold)
            ct = read_ct(case.ct)
            truth = _truth(case, ct)
            probability, region = fused.on_ct(ct.geometry, record.voxel_spacing, self.fusion)
            voxels, hounsfield = ScoreHistogram(), HounsfieldHistogram()
            voxels.add(probability, truth, region)
            hounsfield.add(ct.array, truth, region)
            positive = int(np.count_nonzero(truth))
            scores.append(
                CaseScores(
                    case=case,
                    slices=slices,
                    voxels=voxels,
                    hounsfield=hounsfield,
                    whole=np.array([truth.size - positive, positive]),
                    voxel_ml=float(np.prod(ct.voxel_spacing)) / 1000,
                )
            )
            missed = positive - int(voxels.counts[1].sum())
            if missed:
                logging.warning(
                    "%s: %d of %d fracture voxels lie outside every crop and are not scored; a "
                    "larger prepare.crop_shape would hold them",
                    *(case.case_id, missed, positive),
                )
            if output:
                folder, threshold = output[0] / case.case_id, output[1]
                write_probability(folder / "probability.nii.gz", probability, ct.geometry)
                mask = (reaches(probability, threshold) & region).astype(np.uint8)
                write_labels(folder / "mask.nii.gz", mask, ct.geometry)
        return scores

    def choose_thresholds(self, cases: Sequence[Case], records: Sequence[CaseRecord]) -> Thresholds:
        """Thresholds of the highest pooled Dice on validation cases.

        Raises:
          UserError: no validation case, or none with a fracture.
        """
        predicted = list(self.predict_slices(records, "validation"))
        slices = sum((case.scores for case in predicted), ScoreHistogram())
        of_slices = _checked(slices.best_threshold(), "slice")
        scores = self.score(cases, predicted, of_slices.value)
        fused = sum((s.voxels for s in scores), ScoreHistogram())
        return Thresholds(of_slices, _checked(fused.best_threshold(), "fused map"))


def summarise(
    scores: Sequence[CaseScores], thresholds: Thresholds, *, split: str, synthetic: bool, seed: int
) -> dict[str, Any]:
    """The content of `summary.json`; what is not measured yet is null.

    Args:
      scores: of the test cases.
      thresholds: from validation.
      split: name of the split.
      synthetic: whether the truth is synthetic.
      seed: of the bootstrap.
    """
    patients = [s.case.patient_id for s in scores]
    floor = hu_threshold_floor(sum((s.hounsfield for s in scores), HounsfieldHistogram()))
    voxel = pooled_metrics([s.voxels for s in scores], patients, thresholds.fused.value, seed=seed)
    voxel["prevalence_whole_ct"] = prevalence(np.sum([s.whole for s in scores], axis=0))
    voxel["pr_auc_hu_threshold"] = None if floor is None else floor.pr_auc
    return {
        "split": split,
        "cases": len(scores),
        "synthetic": synthetic,
        "research_use": RESEARCH_USE,
        "threshold": {"value": thresholds.fused.value, "chosen_on": "validation"},
        "slice_threshold": {"value": thresholds.slice.value, "chosen_on": "validation"},
        "slice": pooled_metrics(
            [s.slices for s in scores], patients, thresholds.slice.value, seed=seed
        ),
        "voxel": voxel,
        "lesion": None,
        "vertebra": None,
    }


def write_evaluation(folder: Path, summary: dict[str, Any], scores: Sequence[CaseScores]) -> None:
    """Writes `summary.json` and `cases.csv`."""
    threshold = summary["threshold"]["value"]
    text = io.StringIO()
    columns = [
        "case_id",
        "patient_id",
        "dice",
        "iou",
        "precision",
        "recall",
        "pr_auc",
        "prevalence",
    ]
    columns += ["truth_ml", "predicted_ml", "synthetic"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for score in scores:
        tp, fp, fn, _ = confusion(score.voxels.counts, threshold)
        row = {
            "case_id": score.case.case_id,
            "patient_id": score.case.patient_id,
            **score.voxels.overlap(threshold),
            "pr_auc": score.voxels.average_precision(),
            "prevalence": score.voxels.prevalence,
            "truth_ml": int(tp + fn) * score.voxel_ml,
            "predicted_ml": int(tp + fp) * score.voxel_ml,
            "synthetic": summary["synthetic"],
        }
        shown = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        writer.writerow(shown)
    with atomic_file(folder / "cases.csv") as file:
        file.write(text.getvalue().encode())
    # The summary comes last: where it stands, the rest does.
    with atomic_file(folder / "summary.json") as file:
        file.write(json.dumps(summary, indent=2).encode())


def _truth(case: Case, ct: Any) -> np.ndarray:
    if case.fractures is None:
        raise UserError(
            f"{case.case_id}: no fracture mask, so nothing to score against. Name one in the "
            "column 'fractures' of the manifest, or take the case out of the split."
        )
    truth = read_labels(case.fractures)
    check_same_geometry(ct.geometry, truth.geometry, str(case.ct), str(case.fractures))
    return truth.array


def _checked(threshold: Threshold | None, what: str) -> Threshold:
    if threshold is None:
        raise UserError(
            f"the validation cases show no fracture, so no threshold of the {what} can be chosen. "
            "Put fractured cases into the split 'validation' of the manifest."
        )
    if threshold.on_edge:
        logging.warning(
            "the best %s threshold, %.4f, lies on the edge of its candidates: the model may have "
            "collapsed, or validation is too small",
            *(what, threshold.value),
        )
    return threshold
