"""Who judges whom, by which thresholds."""

import pytest

from tests.evaluation.folds import ANSWERS, OneView, prepared_cohort
from tests.evaluation.test_evaluate import SETTINGS
from vfseg.errors import UserError
from vfseg.evaluation.evaluate import Evaluator
from vfseg.evaluation.out_of_fold import Fold, judge_out_of_fold, write_out_of_fold
from vfseg.evaluation.thresholds import of_highest_dice, out_of_sample
from vfseg.json_files import read_json


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six patients, two a fold, of whom one has no fracture."""
    return prepared_cohort(tmp_path_factory.mktemp("cases"), "abcdef")


def folds_of(cohort, fusion="mean"):
    cases, records, store = cohort
    return [
        Fold(
            str(number),
            Evaluator(OneView(), answer, store, fusion, SETTINGS),
            cases,
            records[2 * number : 2 * number + 2],
        )
        for number, answer in enumerate(ANSWERS)
    ]


def test_thresholds_of_a_fold_come_from_the_others(cohort):
    folds = folds_of(cohort)
    found, chosen = judge_out_of_fold(folds)
    assert [[s.case.case_id for s in fold.scores] for fold in found] == [
        ["a", "b"],
        ["c", "d"],
        ["e", "f"],
    ]
    alone = [
        fold.evaluator.score(fold.cases, fold.evaluator.predict_slices(fold.records, "alone"), 0.3)
        for fold in folds
    ]
    for number, fold in enumerate(found):
        others = [s for other in {0, 1, 2} - {number} for s in alone[other]]
        assert fold.thresholds == out_of_sample(others)
    assert chosen == out_of_sample([score for scores in alone for score in scores])
    # The lowest answer of the others finds all their fractures: what the first fold says is less.
    assert found[0].thresholds.slice == pytest.approx(0.625, abs=1e-4)
    assert found[2].thresholds.slice == chosen.slice == pytest.approx(0.5, abs=1e-4)
    (e, _), by = found[2].scores, found[2].thresholds
    assert e.voxels.overlap(by.fused)["dice"] == 1.0
    of_case = {s.case.case_id: len(s.lesions.lesions) for fold in found for s in fold.scores}
    assert of_case == {name: 2 * (name != "d") for name in "abcdef"}


def test_slices_vote_by_the_threshold_of_the_others(cohort):
    """The first fold says 0.5 at most, the others' slices choose 0.625: its own do not vote."""
    folds = folds_of(cohort, "vote")
    found, _ = judge_out_of_fold(folds)
    others = [s for fold in found[1:] for s in fold.scores]
    slices = sum((s.slices.histogram for s in others[1:]), others[0].slices.histogram)
    assert found[0].thresholds.slice == of_highest_dice(slices, "slice")
    assert [s.voxels.overlap(0.5)["recall"] for s in found[0].scores] == [0.0, 0.0]
    assert found[2].scores[0].voxels.overlap(0.5)["recall"] == 1.0


def test_one_fold_alone_has_nobody_to_choose_by(cohort):
    with pytest.raises(UserError, match="show no fracture"):
        judge_out_of_fold(folds_of(cohort)[:1])


def test_the_evaluation_says_how_its_thresholds_were_chosen(cohort, tmp_path):
    found, chosen = judge_out_of_fold(folds_of(cohort))
    write_out_of_fold(
        tmp_path, found, chosen, synthetic=True, seed=0, made_from={"steps": [1, 2, 3]}
    )
    summary = read_json(tmp_path / "summary.json")
    assert (summary["split"], summary["cases"], summary["steps"]) == ("out of fold", 6, [1, 2, 3])
    assert summary["threshold"] == {"value": chosen.fused, "chosen_on": "out of fold"}
    lines = (tmp_path / "cases.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == list("abcdef")
