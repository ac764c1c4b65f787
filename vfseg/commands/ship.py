"""Mode `ship`: from healthy CTs, with virtual fractures and phantoms, to a model to pass on.

Each patient of the manifest is left out once: a model trains on the others, and is judged on the
virtual fractures of the one that it never saw, and on that CT as it is, with thresholds from what
the other models say of whom they left out. The model to pass on trains on all patients; its figures
are those of the models that left one out, and its thresholds and its verdict come from all of them.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import logging

from vfseg import processes
from vfseg.commands.card import HealthyCT, LeftOut, card_text
from vfseg.commands.evaluate import evaluator_of
from vfseg.commands.train import train
from vfseg.commands.workdir import Run
from vfseg.config.model import Trained, load_trained, model_of
from vfseg.config.shipped import export_model
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.data.patients import by_person
from vfseg.errors import UserError
from vfseg.evaluation.findings import list_findings
from vfseg.evaluation.out_of_fold import Evaluated, Fold, judge_out_of_fold, write_out_of_fold
from vfseg.files import atomic_file, make_sure_of
from vfseg.inference.case import predict_case
from vfseg.inference.model import Model
from vfseg.inference.thresholds import Thresholds, save_thresholds
from vfseg.locks import kept_for_run

MODEL, CARD, ABOUT = "model", "MODEL_CARD.md", "ABOUT.md"
LEFT_OUT, ALL = "left-out", "all"
"""Workdirs of the models, in that of the run."""
LARGEST_MB = 20
FEWEST_PATIENTS = 3
"""One to train on, one to choose the checkpoint by, one to judge by."""


def ship(run: Run, folder: Path | None = None) -> None:
    """Trains what is not trained yet, judges it, then writes the model and its card.

    With several processes, as `train`; the first one writes.

    Args:
        run: of a config on virtual fractures; its workdir holds those of all models.
        folder: of the model; `WORKDIR/model` by default.

    Raises:
        UserError: the config names no manifest, or makes no virtual fractures of its CTs; nothing
            says where they come from; too few patients; the model is larger than `LARGEST_MB`.
    """
    about, folder = _about(run), run.workdir / MODEL if folder is None else folder
    if processes.is_first():
        make_sure_of(folder)  # before all that takes long
    cases, _ = find_cases(Path(run.config.manifest), follow_links=run.follow_links)
    patients = by_person(case.patient_id for case in cases)
    if len(patients) < FEWEST_PATIENTS:
        raise UserError(
            f"{run.config.manifest}: {len(patients)} patients, and --mode ship needs at least "
            f"{FEWEST_PATIENTS}: to train on, to choose by, and to judge by."
        )
    # Phantoms have validation cases of their own, which choose the checkpoint.
    spare = not run.config.add_phantoms
    parts = [_without(run, cases, patients, number, spare=spare) for number in range(len(patients))]
    whole = _part(run, ALL, _splits(patients, {len(patients) - 1: "validation"} if spare else {}))
    with whole.alone():
        logging.info("training on all %d patients", len(patients))
        train(whole)
    trained = [load_trained(part.run.checkpoints) for part in parts]
    evaluated, thresholds = judge_out_of_fold(list(map(_fold, parts, trained)))
    if processes.is_first():
        left_out = list(map(_judged, parts, trained, evaluated))
        write_out_of_fold(
            run.workdir / "evaluation",
            evaluated,
            thresholds,
            synthetic=True,
            seed=run.config.seed,
            made_from={"steps": [one.step for one in trained]},
        )
        _write(whole, left_out, thresholds, about, folder)


def _about(run: Run) -> str:
    """What the card says of the data."""
    manifest = Path(run.config.manifest)
    if not run.config.manifest or not run.config.virtual_fractures.variants:
        raise UserError(
            "--mode ship needs healthy CTs: a config with a manifest and virtual fractures, such "
            "as configs/real_bone.py."
        )
    about = manifest.with_name(ABOUT)
    if not about.is_file():
        raise UserError(
            f"{about}: no such file. Say in it, in Markdown, where the CTs come from, under which "
            "licences, and what limits the model: it becomes the end of the model card."
        )
    return about.read_text()


def _splits(patients: Sequence[Sequence[str]], others: Mapping[int, str]) -> dict[str, str]:
    """Spelling -> split: all patients train but those whose number has another split."""
    return {
        name: others.get(number, "train") for number, names in enumerate(patients) for name in names
    }


def _part(run: Run, name: str, split_of: dict[str, str]) -> Run:
    """A run on the same data with splits and a workdir of its own."""
    return Run(
        run.config,
        run.workdir / name,
        run.data,
        follow_links=run.follow_links,
        split_of=split_of,
    )


class _Without(NamedTuple):
    """A model of all patients but one.

    Attributes:
        patient: who was left out.
        run: whose test cases are the virtual fractures of that patient.
        healthy: the CTs of that patient in which no fracture is known.
    """

    patient: str
    run: Run
    healthy: Sequence[Case]


def _without(
    run: Run, cases: Sequence[Case], patients: Sequence[Sequence[str]], number: int, *, spare: bool
) -> _Without:
    """Trains a model that never sees one patient; the next one validates if one is to be spared."""
    following = (number + 1) % len(patients)
    own = [case for case in cases if case.patient_id in patients[number]]
    others = {following: "validation"} if spare else {}
    split_of = _splits(patients, {**others, number: "test"})
    part = _part(run, f"{LEFT_OUT}/{own[0].case_id}", split_of)
    with part.alone():
        logging.info("left out: %s", patients[number][0])
        train(part)
    return _Without(patients[number][0], part, [case for case in own if case.fractures is None])


def _fold(part: _Without, trained: Trained) -> Fold:
    """A model with the cases that judge it."""
    run = part.run
    return Fold(part.patient, evaluator_of(run, trained), run.prepared.cases, run.records("test"))


def _judged(part: _Without, trained: Trained, evaluated: Evaluated) -> LeftOut:
    """What a model says of the patient whom it never saw; its thresholds are kept beside it."""
    run, fusion = part.run, trained.config.inference.fusion
    with kept_for_run(run.workdir):
        save_thresholds(run.checkpoints, trained.step, evaluated.thresholds, fusion)
        model = model_of(run.checkpoints, [trained])
        healthy = [_as_it_is(case, model, run.workdir / "healthy") for case in part.healthy]
    return LeftOut(part.patient, evaluated, healthy)


def _as_it_is(case: Case, model: Model, folder: Path) -> HealthyCT:
    """What a model says of a CT in which no fracture is known."""
    found = predict_case(case, model, model.prepare, folder)
    listed = list_findings(case.case_id, found, model.thresholds)
    shutil.rmtree(folder)
    return HealthyCT(case.case_id, listed.vertebrae, len(listed.lesions))


def _write(
    whole: Run, left_out: Sequence[LeftOut], thresholds: Thresholds, about: str, folder: Path
) -> None:
    """Writes model and card."""
    config, step, g_params = load_trained(whole.checkpoints)
    export_model(folder, config, step, g_params, thresholds)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    if size > LARGEST_MB:
        raise UserError(f"{folder}: {size:.0f} MB, more than {LARGEST_MB}. Train a smaller model.")
    text = card_text(left_out, thresholds, config, about, step=step)
    with atomic_file(folder / CARD) as file:
        file.write(text.encode())
    print(f"{text}\nmodel: {folder}")
