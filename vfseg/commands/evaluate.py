"""Mode `evaluate`: thresholds from validation cases, figures from test cases; comparisons."""

from collections.abc import Sequence
from pathlib import Path

from absl import logging

from vfseg import processes
from vfseg.commands.memory import check_results
from vfseg.commands.workdir import Run
from vfseg.config.model import Trained, load_trained, make_predictor
from vfseg.crops.store import CaseRecord
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError, quantity
from vfseg.evaluation.compare import compare_runs, comparison_text
from vfseg.evaluation.evaluate import Evaluator, gather_scores
from vfseg.evaluation.fusion_comparison import compare_fusions, fusion_text
from vfseg.evaluation.measures import read_states
from vfseg.evaluation.summary import judged, summarise, write_evaluation
from vfseg.evaluation.summary_shape import REMEDY, SUMMARY
from vfseg.files import make_sure_of_room, write_table
from vfseg.inference.estimate import result_bytes
from vfseg.inference.thresholds import load_thresholds, save_thresholds
from vfseg.schemas import read_checked
from vfseg.training.checkpoints import Checkpoints


def evaluate(run: Run) -> None:
    """Restores the best checkpoint, chooses thresholds on validation, scores the test cases.

    With several processes each scores its share of the cases, all get the same answer, and the
    first one writes it to `evaluation/`. A fold of a cross-validation may have no test cases: then
    there are thresholds alone, and the figures come from all folds together.
    """
    config, trained = run.config, load_trained(run.checkpoints)
    cases = run.prepared.cases
    logging.info("evaluating the checkpoint of step %d", trained.step)
    evaluator = evaluator_of(run, trained)
    validation = run.records("validation")
    test = () if nobody_is_tested(run) else run.records("test")
    output = run.workdir / "predictions"
    if processes.is_first():
        _make_sure_of_room(run, test, evaluator, output)
    thresholds = evaluator.choose_thresholds(cases, validation)
    predicted = evaluator.predict_slices(processes.share(test), "test")
    own = evaluator.score(cases, predicted, thresholds.slice, thresholds=thresholds, output=output)
    scores = gather_scores(own)
    if processes.is_first():
        save_thresholds(run.checkpoints, trained.step, thresholds, config.inference.fusion)
    if test and processes.is_first():
        judged_cases = judged(scores, thresholds)
        summary = summarise(
            judged_cases, split="test", synthetic=config.synthetic, seed=config.seed
        )
        summary["step"] = trained.step
        summary["data"] = run.data_hash("validation", "test")
        write_evaluation(run.workdir / "evaluation", summary, judged_cases)


def nobody_is_tested(run: Run) -> bool:
    """Whether the run is a fold of a cross-validation without test cases."""
    return bool(run.config.split.folds) and not run.prepared.records["test"]


def _make_sure_of_room(
    run: Run, test: Sequence[CaseRecord], evaluator: Evaluator, output: Path
) -> None:
    """Refuses to begin where the maps of all test cases do not fit on the disk."""
    tested = {record.case_id for record in test}
    needed = sum(
        result_bytes(read_geometry(case.ct), run.config.prepare, len(evaluator.predictor.views))
        for case in run.prepared.cases
        if case.case_id in tested
    )
    make_sure_of_room(output, needed, f"the maps of {quantity(len(tested), 'test case')}")


def is_evaluated(run: Run) -> bool:
    """Whether an evaluation of the best checkpoint on the cases of the run stands.

    One that is damaged does not.
    """
    wanted = Checkpoints(run.checkpoints).best, run.data_hash("validation", "test")
    return processes.from_first(lambda: _made_from(run) == wanted, bool)


def _made_from(run: Run) -> tuple[int | None, str]:
    """Step and data of a standing evaluation; (None, "") where none stands."""
    path = run.workdir / "evaluation" / "summary.json"
    if not path.exists():
        return None, ""
    try:
        check_results(run.workdir)
        content = read_checked(path, SUMMARY, REMEDY)
        step, data = content.get("step"), content.get("data", "")
        load_thresholds(run.checkpoints, step)
    except UserError as error:
        logging.warning("evaluated again: %s", error)
        return None, ""
    return step, data


def compare_fusion(run: Run) -> None:
    """Every rule of fusion on the same slice predictions: `evaluation/fusion.csv`, and a table."""
    _make_sure(run)
    if not processes.is_first():
        return
    trained, config = load_trained(run.checkpoints), run.config
    evaluator = evaluator_of(run, trained)
    rows = compare_fusions(
        evaluator,
        run.prepared.cases,
        evaluator.predict_slices(run.records("validation"), "validation"),
        evaluator.predict_slices(run.records("test"), "test"),
        slice_threshold=load_thresholds(run.checkpoints, trained.step).slice,
        seed=config.seed,
    )
    write_table(run.workdir / "evaluation" / "fusion.csv", rows)
    print(fusion_text(rows, synthetic=config.synthetic))


def compare_with(run: Run, other: Path) -> None:
    """Compares this run with another one on the same cases; evaluates it first where need be."""
    check_results(other)
    theirs = read_states(other / "evaluation" / "states.npz")
    _make_sure(run)
    if processes.is_first():
        print(comparison_text(compare_runs(run.workdir, other, theirs, seed=run.config.seed)))


def _make_sure(run: Run) -> None:
    if not is_evaluated(run):
        evaluate(run)


def evaluator_of(run: Run, trained: Trained) -> Evaluator:
    """Scores the cases of a run by a model."""
    return Evaluator(
        make_predictor(trained.config),
        trained.g_params,
        run.store,
        run.config.inference.fusion,
        run.config.prepare,
    )
