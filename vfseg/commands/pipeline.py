"""The stages in their order, each skipped or resumed where its result stands."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from ml_collections import ConfigDict
from tqdm import tqdm

from vfseg import processes
from vfseg.audit import audit_cases, audit_text
from vfseg.audit.page import write_audit_page
from vfseg.commands.workdir import check_config_of, read_json, read_summary, remember
from vfseg.config.check import check_config
from vfseg.crops.prepare import prepare_cases
from vfseg.crops.splits import assign_splits
from vfseg.crops.store import CaseArrays, CaseRecord
from vfseg.data.cases import SPLITS, Case
from vfseg.data.discovery import find_cases, is_left_out
from vfseg.data.geometry import PLANE_AXES
from vfseg.data.spine import find_vertebrae
from vfseg.data.volume import read_ct, read_labels, read_probability
from vfseg.errors import UserError
from vfseg.evaluation.compare import compare_runs, comparison_text
from vfseg.evaluation.evaluate import Evaluator, SlicesOfCase, together
from vfseg.evaluation.fusion_comparison import compare_fusions, fusion_text
from vfseg.evaluation.measures import read_states
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.summary import summarise, write_evaluation
from vfseg.files import write_table
from vfseg.inference.model import (
    Model,
    best_step,
    load_model,
    load_thresholds,
    make_predictor,
    save_thresholds,
)
from vfseg.report.case import draw_case
from vfseg.report.page import write_page
from vfseg.report.results_table import results_text
from vfseg.synthesis.phantom import make_cohort
from vfseg.synthesis.virtual_fractures import make_virtual_cohort
from vfseg.training.loop import train
from vfseg.training.recipe import is_synthetic, prepare_settings, split_settings, window_settings
from vfseg.training.samples import best_slice, side_by_side

_PICTURES = 4  # validation cases shown in TensorBoard


def run(config: ConfigDict, workdir: Path) -> None:
    """Prepare, train, evaluate, report; what stands and is of the same data is left alone.

    With several processes, as `train_model`; the first one evaluates and reports.
    """
    prepared = prepare(config, workdir)
    train_model(config, workdir, prepared)
    summary = workdir / "evaluation" / "summary.json"
    if not _is_evaluated(workdir, prepared):
        evaluate(config, workdir, prepared)
    if not processes.is_first():
        return
    page = workdir / "report" / "index.html"
    if page.exists() and page.stat().st_mtime > summary.stat().st_mtime:
        _print_results(read_summary(workdir), page)
    else:
        report(config, workdir, prepared)
    if prepared.left_out:
        print("\n  ".join([f"left out ({len(prepared.left_out)}):", *prepared.left_out]))


class Prepared(NamedTuple):
    """Outcome of the preparation.

    Attributes:
        cases: of the manifest.
        records: of the usable cases, by split.
        left_out: cases that are not usable, and why.
    """

    cases: tuple[Case, ...]
    records: dict[str, tuple[CaseRecord, ...]]
    left_out: tuple[str, ...] = ()


def prepare(config: ConfigDict, workdir: Path) -> Prepared:
    """Makes the synthetic cohort where no manifest is named, brings store and splits up to date.

    With several processes the first one does it for all.

    Raises:
        UserError: whatever is wrong with config or cases; a process does not see the workdir.
    """
    prepared = processes.from_first(lambda: _prepare(config, workdir))
    if not (workdir / "store").is_dir():
        raise UserError(
            f"{workdir}: process {processes.index()} does not see what process 0 wrote there. Name "
            "a --workdir on a file system that all processes share."
        )
    return prepared


def _prepare(config: ConfigDict, workdir: Path) -> Prepared:
    check_config_of(config, workdir)
    cases, notes = _cases(config, workdir)
    for note in notes:
        logging.warning("%s", note)
    records, left_out = prepare_cases(cases, prepare_settings(config), workdir / "store")
    splits = assign_splits(cases, records, split_settings(config), workdir / "splits.csv")
    for note in splits.notes:
        logging.warning("%s", note)
    reasons = tuple(f"{case.case_id}: {case.reason}" for case in left_out)
    return Prepared(
        cases,
        {split: splits.select(records, split) for split in SPLITS},
        (*(note for note in notes if is_left_out(note)), *reasons),
    )


def audit(config: ConfigDict, workdir: Path) -> None:
    """Reads the data set and says what is wrong with it; writes nothing but `audit/`."""
    if not processes.is_first():
        return
    cases, left_out = _cases(config, workdir)
    settings, windows = prepare_settings(config), window_settings(config)
    found = audit_cases(cases, settings, windows=windows, left_out=left_out)
    page = write_audit_page(found, cases, workdir / "audit")
    print(audit_text(found))
    print(f"audit: {page}")
    if not found.usable:
        raise UserError(f"no case can be used as it is: see {page}, and mend the errors.")


def train_model(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Trains from the newest checkpoint, or from the start.

    With several processes each trains on its part of every batch and validates its part of the
    cases; the first one writes. How many there are may change from one run to the next.
    """
    prepared = prepared or prepare(config, workdir)
    records = prepared.records
    data = _data_hash(prepared, ("train", "validation"))
    processes.from_first(lambda: remember(config, workdir, data))
    validation = _split(records, "validation")

    def validate(g_params) -> dict[str, Any]:
        histogram = ScoreHistogram()
        pictures: list[np.ndarray] = []
        evaluator = Evaluator(
            make_predictor(config),
            g_params,
            workdir / "store",
            config.inference.fusion,
            prepare_settings(config),
        )
        for case in evaluator.predict_slices(processes.share(validation), "validate"):
            histogram += case.scores
            if len(pictures) < _PICTURES:
                pictures.append(_picture(config, workdir, case))
        score = sum(processes.gather(histogram), ScoreHistogram()).average_precision()
        scores = {"pr_auc": 0.0 if score is None else score}
        return scores | ({"slices": np.concatenate(pictures)} if pictures else {})

    train(config, workdir, workdir / "store", _split(records, "train"), validate)


def _picture(config: ConfigDict, workdir: Path, case: SlicesOfCase) -> np.ndarray:
    """CT, truth and prediction of the slice of a case that shows most fracture, `h 3w 3` uint8."""
    arrays = CaseArrays(workdir / "store", case.record.case_id)
    fractures = [crop.fracture_voxels for crop in case.record.crops]
    crop, axis = int(np.argmax(fractures)), PLANE_AXES[config.windows.planes[0]]
    ct, truth = (array[crop].read().result() for array in (arrays.ct, arrays.fractures))
    volumes = ct, truth, case.predictions[crop, 0]
    best = best_slice(truth, axis)
    return side_by_side(*(np.take(volume, best, axis) for volume in volumes))


def evaluate(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Restores the best checkpoint, chooses thresholds on validation, scores the test cases.

    With several processes each scores its share of the cases, and the first one writes.
    """
    checkpoints = workdir / "checkpoints"
    model = load_model(checkpoints)
    prepared = prepared or prepare(config, workdir)
    cases, records = prepared.cases, prepared.records
    logging.info("evaluating the checkpoint of step %d", model.step)
    evaluator = _evaluator(config, workdir, model)
    validation, test = _split(records, "validation"), _split(records, "test")
    thresholds = evaluator.choose_thresholds(cases, validation)
    predicted = evaluator.predict_slices(processes.share(test), "test")
    output = workdir / "predictions"
    own = evaluator.score(cases, predicted, thresholds.slice, thresholds=thresholds, output=output)
    scores = together(own)
    if not processes.is_first():
        return
    save_thresholds(
        checkpoints,
        model.step,
        slice=thresholds.slice,
        fused=thresholds.fused,
        vertebra=thresholds.vertebra,
        temperature=thresholds.temperature,
        fusion=config.inference.fusion,
    )
    summary = summarise(
        scores, thresholds, split="test", synthetic=is_synthetic(config), seed=config.seed
    )
    summary["step"] = model.step
    summary["data"] = _data_hash(prepared, ("validation", "test"))
    write_evaluation(workdir / "evaluation", summary, scores, thresholds)


def compare_fusion(config: ConfigDict, workdir: Path) -> None:
    """Every rule of fusion on the same slice predictions: `evaluation/fusion.csv`, and a table."""
    prepared = _evaluated(config, workdir)
    if not processes.is_first():
        return
    checkpoints = workdir / "checkpoints"
    model = load_model(checkpoints)
    evaluator = _evaluator(config, workdir, model)
    rows = compare_fusions(
        prepared.cases,
        evaluator.predict_slices(_split(prepared.records, "validation"), "validation"),
        evaluator.predict_slices(_split(prepared.records, "test"), "test"),
        views=model.predictor.views,
        slice_threshold=load_thresholds(checkpoints, model.step).slice,
        seed=config.seed,
    )
    write_table(workdir / "evaluation" / "fusion.csv", rows)
    print(fusion_text(rows, synthetic=is_synthetic(config)))


def _evaluated(config: ConfigDict, workdir: Path) -> Prepared:
    """The prepared cases; evaluates them unless that stands."""
    prepared = prepare(config, workdir)
    if not _is_evaluated(workdir, prepared):
        evaluate(config, workdir, prepared)
    return prepared


def _evaluator(config: ConfigDict, workdir: Path, model: Model) -> Evaluator:
    store, settings = workdir / "store", prepare_settings(config)
    return Evaluator(model.predictor, model.g_params, store, config.inference.fusion, settings)


def compare_with(config: ConfigDict, workdir: Path, other: Path) -> None:
    """Compares this run with another one on the same cases; evaluates it first where need be."""
    theirs = read_states(other / "evaluation" / "states.npz")
    _evaluated(config, workdir)
    if processes.is_first():
        print(comparison_text(compare_runs(workdir, other, theirs, seed=config.seed)))


def report(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Draws the predicted cases and writes the page; prints the table of results."""
    summary = read_summary(workdir)
    cases = (prepared or prepare(config, workdir)).cases
    if not processes.is_first():
        return
    pictures = {}
    predicted = [c for c in cases if (workdir / "predictions" / c.case_id).is_dir()]
    for case in tqdm(predicted, "report", unit="case", disable=None):
        ct = read_ct(case.ct)
        vertebrae, labels = find_vertebrae(case, ct.geometry, prepare_settings(config))
        probability = read_probability(
            workdir / "predictions" / case.case_id / "probability.nii.gz"
        )
        pictures[case.case_id] = draw_case(
            ct,
            probability.array,
            truth=None if case.fractures is None else read_labels(case.fractures).array,
            labels=None if labels is None else labels.array,
            vertebrae=vertebrae,
            threshold=summary["threshold"]["value"],
            case_id=case.case_id,
            synthetic=summary["synthetic"],
            directory=workdir / "report" / case.case_id,
        )
    page = write_page(workdir, pictures)
    _print_results(summary, page)


def _cases(config: ConfigDict, workdir: Path) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Cases of the config, and remarks on what was assumed or left out.

    They are those of the manifest or folder that the config names, with virtual fractures where it
    asks for them, and the phantoms that it asks for, which are made if need be.
    """
    check_config(config)
    cases: tuple[Case, ...] = ()
    notes: tuple[str, ...] = ()
    if config.manifest:
        cases, notes = find_cases(Path(config.manifest))
    if config.manifest and config.virtual_fractures.variants:
        virtual = config.virtual_fractures.to_dict()
        manifest = make_virtual_cohort(cases, workdir / "virtual_cohort", virtual)
        cases, more = find_cases(manifest)
        notes += more
    if not config.manifest or config.add_phantoms:
        phantoms, more = find_cases(make_cohort(workdir / "cohort", config.phantom.to_dict()))
        if config.manifest:  # what is tested is the user's
            phantoms = tuple(case for case in phantoms if case.split != "test")
        both = {case.case_id for case in cases} & {case.case_id for case in phantoms}
        if both:
            raise UserError(
                f"{config.manifest}: {', '.join(sorted(both))}: names that phantoms have, too. "
                "Rename these cases, or set config.add_phantoms=False."
            )
        cases, notes = (*cases, *phantoms), (*notes, *more)
    return cases, notes


def _print_results(summary: dict, page: Path) -> None:
    print(results_text(summary))
    print(f"report: {page}")


def _split(records: Mapping[str, tuple[CaseRecord, ...]], split: str) -> tuple[CaseRecord, ...]:
    if not records[split]:
        raise UserError(
            f"no usable case in the split {split!r}. Name some in the column 'split' of the "
            "manifest, or leave the column empty and set the shares in config.split."
        )
    return records[split]


def _data_hash(prepared: Prepared, splits: tuple[str, ...]) -> str:
    """Hash of the prepared cases of some splits: what a result was made from."""
    cases = [(split, r.case_id, r.fingerprint) for split in splits for r in prepared.records[split]]
    return hashlib.sha256(json.dumps(sorted(cases)).encode()).hexdigest()


def _is_evaluated(workdir: Path, prepared: Prepared) -> bool:
    """Whether an evaluation of the best checkpoint on these cases stands."""
    wanted = best_step(workdir / "checkpoints"), _data_hash(prepared, ("validation", "test"))
    return processes.from_first(
        lambda: _made_from(workdir / "evaluation" / "summary.json") == wanted
    )


def _made_from(summary: Path) -> tuple[int | None, str]:
    """Step and data of a standing evaluation; (None, "") where none stands."""
    content = read_json(summary) or {}
    return content.get("step"), content.get("data", "")
