"""A cross-validation taken together: every case judged by the model that did not train on it.

After its folds, `--folds` pools what each model says of the patients whom it left out. Thresholds
and verdict are fitted out of fold, too: those that judge the cases of a fold come from the others,
so that no figure has seen its own truth; those of the ensemble of all models come from all folds.
What is left of the left-out patients in a model is the choice of its checkpoint, which was the best
on them.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from vfseg.commands.evaluate import evaluator_of
from vfseg.commands.workdir import Run
from vfseg.config.model import Trained, load_trained
from vfseg.digests import noticed
from vfseg.errors import UserError, quantity
from vfseg.evaluation.out_of_fold import Fold, judge_out_of_fold, write_out_of_fold
from vfseg.evaluation.summary_shape import SUMMARY
from vfseg.files import sweep
from vfseg.inference.thresholds import THRESHOLDS, load_thresholds, save_thresholds
from vfseg.locks import locked
from vfseg.schemas import read_checked


class Finished(NamedTuple):
    """A fold whose model is trained and evaluated.

    Attributes:
        run: of the fold.
        trained: its best model.
    """

    run: Run
    trained: Trained


def pool(runs: Sequence[Run], workdir: Path, *, anew: bool) -> None:
    """Writes `evaluation/` and `thresholds.json` of a cross-validation, and prints its table.

    Where folds are shared out, the process that finishes last does it.

    Args:
        runs: of all folds.
        workdir: of the cross-validation.
        anew: also where that stands, from the same models and cases.

    Raises:
        UserError: but for a fold or two, no case shows a fracture; there is no space.
    """
    folds, waiting = [], []
    for run in runs:
        fold = _finished(run)
        if fold is None:
            waiting.append(run.workdir.name)
        else:
            folds.append(fold)
    if waiting:
        print(
            f"{workdir}: {', '.join(waiting)} not finished; whoever finishes the last fold pools "
            "them all, and so does --mode evaluate --folds"
        )
        return
    output = workdir / "evaluation"
    with locked(output):
        sweep(output)
        made_from = _made_from(folds)
        if anew or _standing(workdir) != made_from:
            _write(folds, workdir, made_from)
        _say(workdir, len(folds))


def _finished(run: Run) -> Finished | None:
    if not (run.checkpoints / THRESHOLDS).exists():
        return None
    try:
        trained = load_trained(run.checkpoints)
        load_thresholds(run.checkpoints, trained.step)  # are they of this model?
        return Finished(run, trained)
    except UserError as error:  # another process trains on
        logging.warning("%s", error)
        return None


def _made_from(folds: Sequence[Finished]) -> dict[str, Any]:
    """Steps, and one hash of cases, settings and parameters: equal steps may be other models."""
    digest, steps = hashlib.sha256(), [fold.trained.step for fold in folds]
    for run, trained in folds:
        digest.update(f"{run.data_hash('validation')}{trained.config}".encode())
        for leaf in jax.tree.leaves(trained.g_params):
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return {"steps": steps, "data": digest.hexdigest()}


def _standing(workdir: Path) -> dict[str, Any] | None:
    """What a pooled evaluation was made from that stands; None where there is none, or damaged."""
    output = workdir / "evaluation"
    if not (output / "summary.json").exists() or noticed(output):
        return None
    try:
        content = read_checked(output / "summary.json", SUMMARY)
        load_thresholds(workdir, content.get("steps"))
    except UserError as error:
        logging.warning("pooled again: %s", error)
        return None
    return {name: content.get(name) for name in ("steps", "data")}


def _write(folds: Sequence[Finished], workdir: Path, made_from: dict[str, Any]) -> None:
    evaluated, thresholds = judge_out_of_fold([_left_out_by(fold, folds) for fold in folds])
    config = folds[0].run.config
    save_thresholds(workdir, made_from["steps"], thresholds, config.inference.fusion)
    write_out_of_fold(
        workdir / "evaluation",
        evaluated,
        thresholds,
        synthetic=config.synthetic,
        seed=config.seed,
        made_from=made_from,
    )


def _left_out_by(fold: Finished, folds: Sequence[Finished]) -> Fold:
    """The model of a fold, and the cases that validate there and train elsewhere.

    So every case is judged once: those that a manifest has validate always do.
    """
    others = [other for other in folds if other is not fold]
    train = {record.case_id for other in others for record in other.run.records("train")}
    records = [record for record in fold.run.records("validation") if record.case_id in train]
    run = fold.run
    return Fold(run.workdir.name, evaluator_of(run, fold.trained), run.prepared.cases, records)


def _say(workdir: Path, folds: int) -> None:
    summary = read_checked(workdir / "evaluation" / "summary.json", SUMMARY)
    # What draws takes a second.
    from vfseg.report.results_table import results_text

    print(results_text(summary))
    print(
        f"{workdir / 'evaluation'}: {quantity(summary['cases'], 'case')} of {folds} folds, each by "
        "the model that did not train on it, with thresholds of the other folds. All models "
        f"together predict with --workdir {workdir}"
    )
