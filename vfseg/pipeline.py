"""The stages in their order, each skipped or resumed where its result stands."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from absl import logging
from ml_collections import ConfigDict
from tqdm import tqdm

from vfseg.data.audit import audit_cases, audit_text
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.data.phantom import make_cohort
from vfseg.data.prepare import PLANES, find_vertebrae, prepare_cases
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
from vfseg.inference.predict import FUSIONS
from vfseg.report.audit_page import write_audit_page
from vfseg.report.case import draw_case
from vfseg.report.page import write_page
from vfseg.report.results_table import results_text
from vfseg.training.loop import train
from vfseg.training.parallel import RUNNERS
from vfseg.training.recipe import (
    is_synthetic,
    prepare_settings,
    split_settings,
    window_settings,
)


def run(config: ConfigDict, workdir: Path) -> None:
    """Prepare, train, evaluate, report; an evaluation of the best checkpoint stands."""
    _check(config)
    _remember(config, workdir)
    prepared = prepare(config, workdir)
    train_model(config, workdir, prepared)
    summary = workdir / "evaluation" / "summary.json"
    best = best_step(workdir / "checkpoints")
    if not summary.exists() or json.loads(summary.read_text())["step"] != best:
        evaluate(config, workdir, prepared)
    page = workdir / "report" / "index.html"
    if page.exists() and page.stat().st_mtime > summary.stat().st_mtime:
        _print_results(_read_summary(workdir), page)
    else:
        report(config, workdir, prepared)


class Prepared(NamedTuple):
    """Outcome of the preparation.

    Attributes:
      cases: of the manifest.
      records: of the usable cases, by split.
    """

    cases: tuple[Case, ...]
    records: dict[str, tuple[CaseRecord, ...]]


def prepare(config: ConfigDict, workdir: Path) -> Prepared:
    """Makes the synthetic cohort where no manifest is named, brings store and splits up to date."""
    cases, notes = _cases(config, workdir)
    for note in notes:
        logging.warning("%s", note)
    records, left_out = prepare_cases(cases, prepare_settings(config), workdir / "store")
    splits = assign_splits(cases, records, split_settings(config), workdir / "splits.csv")
    for note in splits.notes:
        logging.warning("%s", note)
    if left_out:
        ids = ", ".join(case.case_id for case in left_out)
        logging.warning("%d of %d cases left out, see above: %s", len(left_out), len(cases), ids)
    return Prepared(cases, {split: splits.select(records, split) for split in SPLITS})


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
    _remember(config, workdir)
    _, records = prepared or prepare(config, workdir)
    evaluator_of = _evaluator_of(config, workdir)
    validation = _split(records, "validation")

    def validate(g_params) -> dict[str, float]:
        histogram = ScoreHistogram()
        for case in evaluator_of(g_params).predict_slices(validation, "validate"):
            histogram += case.scores
        score = histogram.average_precision()
        return {"pr_auc": 0.0 if score is None else score}

    train(config, workdir, workdir / "store", _split(records, "train"), validate)


def evaluate(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Restores the best checkpoint, chooses thresholds on validation, scores the test cases."""
    checkpoints = workdir / "checkpoints"
    model = load_model(checkpoints)
    cases, records = prepared or prepare(config, workdir)
    logging.info("evaluating the checkpoint of step %d", model.step)
    evaluator = Evaluator(
        model.predictor, model.g_params, workdir / "store", config.inference.fusion
    )
    validation, test = _split(records, "validation"), _split(records, "test")
    thresholds = evaluator.choose_thresholds(cases, validation)
    save_thresholds(
        checkpoints, model.step, slice=thresholds.slice.value, fused=thresholds.fused.value
    )
    output = (workdir / "predictions", thresholds.fused.value)
    predicted = evaluator.predict_slices(test, "test")
    scores = evaluator.score(cases, predicted, thresholds.slice.value, output=output)
    summary = summarise(
        scores, thresholds, split="test", synthetic=is_synthetic(config), seed=config.seed
    )
    summary["step"] = model.step
    write_evaluation(workdir / "evaluation", summary, scores)


def report(config: ConfigDict, workdir: Path, prepared: Prepared | None = None) -> None:
    """Draws the predicted cases and writes the page; prints the table of results."""
    summary = _read_summary(workdir)
    cases, _ = prepared or prepare(config, workdir)
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
    _check(config)
    if not config.manifest:
        return find_cases(make_cohort(workdir / "cohort", config.phantom.to_dict()))
    cases, notes = find_cases(Path(config.manifest))
    if not config.virtual_fractures.variants:
        return cases, notes
    virtual = config.virtual_fractures.to_dict()
    manifest = make_virtual_cohort(cases, workdir / "virtual_cohort", virtual)
    virtual_cases, more = find_cases(manifest)
    return virtual_cases, (*notes, *more)


def _evaluator_of(config: ConfigDict, workdir: Path):
    predictor = make_predictor(config)

    def evaluator(g_params) -> Evaluator:
        return Evaluator(predictor, g_params, workdir / "store", config.inference.fusion)

    return evaluator


def _print_results(summary: dict, page: Path) -> None:
    print(results_text(summary))
    print(f"report: {page}")


def _read_summary(workdir: Path) -> dict:
    path = workdir / "evaluation" / "summary.json"
    if not path.exists():
        raise UserError(f"{path}: nothing to report yet. Run --mode evaluate first.")
    return json.loads(path.read_text())


def _split(records: Mapping[str, tuple[CaseRecord, ...]], split: str) -> tuple[CaseRecord, ...]:
    if not records[split]:
        raise UserError(
            f"no usable case in the split {split!r}. Name some in the column 'split' of the "
            "manifest, or leave the column empty and set the shares in config.split."
        )
    return records[split]


def _check(config: ConfigDict) -> None:
    """Settings that fit only together."""
    plane, shape = config.windows.plane, tuple(config.prepare.crop_shape)
    if plane not in PLANES:
        raise UserError(f"config.windows.plane={plane!r}: expected one of {', '.join(PLANES)}.")
    if config.parallel not in RUNNERS:
        raise UserError(
            f"config.parallel={config.parallel!r}: expected one of {', '.join(RUNNERS)}."
        )
    if config.inference.fusion not in FUSIONS:
        raise UserError(
            f"config.inference.fusion={config.inference.fusion!r}: expected one of "
            f"{', '.join(FUSIONS)}."
        )
    factor = 2 ** (len(config.generator.features) - 1)
    in_plane = [size for axis, size in enumerate(shape) if axis != PLANES[plane]]
    if len(shape) != 3 or any(size % factor for size in in_plane):
        raise UserError(
            f"config.prepare.crop_shape={shape}: expected three sizes (superior, anterior, right), "
            f"multiples of {factor} in the {plane} plane for these generator.features."
        )
    if config.windows.length % 2 == 0:
        raise UserError(
            f"config.windows.length={config.windows.length}: expected an odd number, so that a "
            "window has a middle slice."
        )


def _remember(config: ConfigDict, workdir: Path) -> None:
    """Writes the resolved config; refuses to go on in a workdir of another one."""
    path = workdir / "config.json"
    resolved = json.loads(json.dumps(config.to_dict()))
    if path.exists():
        before, now = _flat(json.loads(path.read_text())), _flat(resolved)
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
    with atomic_file(path) as file:
        file.write(json.dumps(resolved, indent=2).encode())


def _flat(tree: dict, prefix: str = "") -> dict:
    flat: dict = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
