"""The stages in their order, each skipped or resumed where its result stands."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from absl import logging
from ml_collections import ConfigDict
from tqdm import tqdm

from vfseg.config_check import check_config
from vfseg.data.audit import audit_cases, audit_text
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases, is_left_out
from vfseg.data.phantom import make_cohort
from vfseg.data.prepare import find_vertebrae, prepare_cases
from vfseg.data.splits import SPLITS, assign_splits
from vfseg.data.store import CaseRecord
from vfseg.data.virtual_fractures import make_virtual_cohort
from vfseg.data.volume import atomic_file, read_ct, read_labels, read_probability
from vfseg.errors import UserError
from vfseg.evaluation.evaluate import Evaluator, summarise, write_evaluation
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.inference.model import (
    best_step,
    load_model,
    make_predictor,
    save_thresholds,
)
from vfseg.report.audit_page import write_audit_page
from vfseg.report.case import draw_case
from vfseg.report.page import write_page
from vfseg.report.results_table import results_text
from vfseg.training.loop import train
from vfseg.training.recipe import (
    is_synthetic,
    prepare_settings,
    split_settings,
    window_settings,
)


def run(config: ConfigDict, workdir: Path) -> None:
    """Prepare, train, evaluate, report; what stands and is of the same data is left alone."""
    prepared = prepare(config, workdir)
    train_model(config, workdir, prepared)
    summary = workdir / "evaluation" / "summary.json"
    best = best_step(workdir / "checkpoints")
    if _made_from(summary) != (best, _data_hash(prepared, ("validation", "test"))):
        evaluate(config, workdir, prepared)
    page = workdir / "report" / "index.html"
    if page.exists() and page.stat().st_mtime > summary.stat().st_mtime:
        _print_results(_read_summary(workdir), page)
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
    """Makes the synthetic cohort where no manifest is named, brings store and splits up to date."""
    _compare(config, workdir)
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
    cases, left_out = _cases(config, workdir)
    settings, windows = prepare_settings(config), window_settings(config)
    found = audit_cases(cases, settings, windows=windows, left_out=left_out)
    page = write_audit_page(found, cases, workdir / "audit")
    print(audit_text(found))
    print(f"audit: {page}")
    if not found.usable:
        raise UserError(f"no case can be used as it is: see {page}, and mend the errors.")


def train_model(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Trains from the newest checkpoint, or from the start."""
    prepared = prepared or prepare(config, workdir)
    records = prepared.records
    data = _data_hash(prepared, ("train", "validation"))
    _remember(config, workdir, data)
    validation = _split(records, "validation")

    def validate(g_params) -> dict[str, float]:
        histogram = ScoreHistogram()
        evaluator = Evaluator(
            make_predictor(config), g_params, workdir / "store", config.inference.fusion
        )
        for case in evaluator.predict_slices(validation, "validate"):
            histogram += case.scores
        score = histogram.average_precision()
        return {"pr_auc": 0.0 if score is None else score}

    train(config, workdir, workdir / "store", _split(records, "train"), validate)


def evaluate(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Restores the best checkpoint, chooses thresholds on validation, scores the test cases."""
    checkpoints = workdir / "checkpoints"
    model = load_model(checkpoints)
    prepared = prepared or prepare(config, workdir)
    cases, records = prepared.cases, prepared.records
    logging.info("evaluating the checkpoint of step %d", model.step)
    evaluator = Evaluator(
        model.predictor, model.g_params, workdir / "store", config.inference.fusion
    )
    validation, test = _split(records, "validation"), _split(records, "test")
    thresholds = evaluator.choose_thresholds(cases, validation)
    save_thresholds(
        checkpoints,
        model.step,
        slice=thresholds.slice.value,
        fused=thresholds.fused.value,
        fusion=config.inference.fusion,
    )
    output = (workdir / "predictions", thresholds.fused.value)
    predicted = evaluator.predict_slices(test, "test")
    scores = evaluator.score(cases, predicted, thresholds.slice.value, output=output)
    summary = summarise(
        scores, thresholds, split="test", synthetic=is_synthetic(config), seed=config.seed
    )
    summary["step"] = model.step
    summary["data"] = _data_hash(prepared, ("validation", "test"))
    write_evaluation(workdir / "evaluation", summary, scores)


def report(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Draws the predicted cases and writes the page; prints the table of results."""
    summary = _read_summary(workdir)
    cases = (prepared or prepare(config, workdir)).cases
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
    asks for them, or else the synthetic cohort, which is made if need be.
    """
    check_config(config)
    if not config.manifest:
        return find_cases(make_cohort(workdir / "cohort", config.phantom.to_dict()))
    cases, notes = find_cases(Path(config.manifest))
    if not config.virtual_fractures.variants:
        return cases, notes
    virtual = config.virtual_fractures.to_dict()
    manifest = make_virtual_cohort(cases, workdir / "virtual_cohort", virtual)
    virtual_cases, more = find_cases(manifest)
    return virtual_cases, (*notes, *more)


def _print_results(summary: dict, page: Path) -> None:
    print(results_text(summary))
    print(f"report: {page}")


def _read_summary(workdir: Path) -> dict:
    path = workdir / "evaluation" / "summary.json"
    summary = _read_json(path)
    if summary is None:
        raise UserError(f"{path}: nothing to report yet. Run --mode evaluate first.")
    return summary


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


def _made_from(summary: Path) -> tuple[int | None, str]:
    """Step and data of a standing evaluation; (None, "") where none stands."""
    content = _read_json(summary) or {}
    return content.get("step"), content.get("data", "")


def _compare(config: ConfigDict, workdir: Path) -> None:
    """Refuses to go on in a workdir that was begun with another config."""
    path = workdir / "config.json"
    begun = _read_json(path)
    if begun is None:
        return
    before, now = _flat(begun), _flat(_plain(config))
    changed = [
        f"config.{key}: {before.get(key)} -> {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise UserError(
            f"{workdir} was begun with other settings:\n  "
            + "\n  ".join(changed)
            + "\nGive the old values back, or choose another --workdir."
        )


def _remember(config: ConfigDict, workdir: Path, data: str) -> None:
    """Writes the resolved config, and refuses to train on with other training data."""
    path = workdir / "data.json"
    begun = _read_json(path)
    if begun is not None and begun.get("train_and_validation") != data:
        raise UserError(
            f"{workdir}: the training or validation cases changed since training began here. "
            "Choose another --workdir to train on the new data."
        )
    for target, content in (
        (workdir / "config.json", _plain(config)),
        (path, {"train_and_validation": data}),
    ):
        with atomic_file(target) as file:
            file.write(json.dumps(content, indent=2).encode())


def _plain(config: ConfigDict) -> dict:
    """The config as JSON reads it back: tuples are lists."""
    return json.loads(json.dumps(config.to_dict()))


def _read_json(path: Path) -> dict | None:
    """Content of a file of the workdir; None where there is none.

    Raises:
      UserError: it is damaged.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}). Delete it, and run again.") from error


def _flat(tree: dict, prefix: str = "") -> dict:
    flat: dict = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
