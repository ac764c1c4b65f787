"""All fusion rules on the same slice predictions: which one does best, and how surely."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vfseg.data.cases import Case
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.spine import read_spine
from vfseg.evaluation.evaluate import Evaluator
from vfseg.evaluation.metrics import OVERLAP_METRICS, ScoreHistogram, three_decimals
from vfseg.evaluation.slices import SlicesOfCase
from vfseg.evaluation.statistics import pooled_metrics
from vfseg.evaluation.thresholds import of_highest_dice
from vfseg.evaluation.truth import read_truth
from vfseg.inference.settings import FUSIONS

METRICS = (*OVERLAP_METRICS, "pr_auc")


class _RulesOfCase(NamedTuple):
    """Scores of the voxels of a case, by rule."""

    case: Case
    histograms: dict[str, ScoreHistogram]


def compare_fusions(
    evaluator: Evaluator,
    cases: Sequence[Case],
    validation: Iterable[SlicesOfCase],
    test: Iterable[SlicesOfCase],
    *,
    slice_threshold: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Voxel metrics of every rule, for `evaluation/fusion.csv`.

    Each rule gets the threshold of the highest pooled Dice on validation; the figures are of the
    test cases, in the CT's grid, inside the union of the crops. All rules see the same predictions
    and the same resamples of patients. Picking the best rule by its test figures is picking on
    test: choose on validation, whose Dice stands beside.

    Args:
        evaluator: of the model.
        cases: of the data set, those that are predicted with a fracture mask each.
        validation: slice predictions of validation cases.
        test: slice predictions of test cases.
        slice_threshold: of the vote, from validation.
        seed: of the bootstrap.

    Returns:
        One row a rule: `fusion`, `threshold`, `validation_dice`, `patients`, and of each metric its
        value, `_low` and `_high` (95 % interval; empty under 5 patients).
    """
    by_id = {case.case_id: case for case in cases}

    def scored(predicted: SlicesOfCase) -> _RulesOfCase:
        case = by_id[predicted.record.case_id]
        return _RulesOfCase(case, _histograms(evaluator, case, predicted, slice_threshold))

    # `map` lets go of the predictions of a case before the next one is predicted.
    chosen_on = list(map(scored, validation))
    # In the order of the summary, so that both have the same resamples.
    shown = sorted(map(scored, test), key=lambda found: found.case.case_id)
    rows = []
    for name in FUSIONS:
        pooled = sum((found.histograms[name] for found in chosen_on), ScoreHistogram())
        threshold = of_highest_dice(pooled, f"{name} map")
        found = pooled_metrics(
            [found.histograms[name] for found in shown],
            [found.case.patient_id for found in shown],
            threshold,
            seed=seed,
        )
        rows.append(
            {
                "fusion": name,
                "threshold": threshold,
                "validation_dice": pooled.overlap(threshold)["dice"],
                "patients": found["dice"]["n"],
                "prevalence": found["prevalence"],
                **{k: v for metric in METRICS for k, v in _cells(metric, found[metric]).items()},
            }
        )
    return rows


def _histograms(
    evaluator: Evaluator, case: Case, predicted: SlicesOfCase, slice_threshold: float
) -> dict[str, ScoreHistogram]:
    """Scores of the voxels of a case, by rule."""
    ct = read_hounsfield(case.ct)
    truth, histograms = read_truth(case, ct), {}
    spine = read_spine(case, ct.geometry, evaluator.settings)
    for name in FUSIONS:
        everywhere = predicted.fused(evaluator.predictor.views, name, slice_threshold)
        fused = everywhere.near_vertebrae(spine, ct.geometry)
        box = fused.box(ct.geometry)
        slab = fused.part_on_ct(ct.geometry, box)
        histograms[name] = ScoreHistogram()
        histograms[name].add(slab.probability, truth[box], slab.region)
    return histograms


def _cells(metric: str, found: Mapping[str, Any]) -> dict[str, Any]:
    low, high = found["ci95"] or (None, None)
    return {metric: found["value"], f"{metric}_low": low, f"{metric}_high": high}


def fusion_text(rows: Sequence[Mapping[str, Any]], *, synthetic: bool) -> str:
    """The table of `compare_fusions` as text."""
    lines = [f"{'fusion':<12}{'threshold':>10}{'validation Dice':>17}{'Dice':>8}{'PR-AUC':>8}"]
    lines += [
        f"{row['fusion']:<12}{row['threshold']:>10.3f}{row['validation_dice']:>17.3f}"
        f"{three_decimals(row['dice']):>8}{three_decimals(row['pr_auc']):>8}"
        for row in rows
    ]
    lines.append(
        f"Prevalence {rows[0]['prevalence']:.4f}. The intervals are in fusion.csv."
        + " The truth is synthetic." * synthetic
    )
    return "\n".join(lines)
