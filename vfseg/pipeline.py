"""The stages in their order, each skipped or resumed where its result stands."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from absl import logging
from ml_collections import ConfigDict
from tqdm import tqdm

from vfseg.data.cases import Case, read_manifest
from vfseg.data.phantom import make_cohort
from vfseg.data.prepare import PLANES, find_vertebrae, prepare_cases
from vfseg.data.store import CaseRecord
from vfseg.data.volume import atomic_file, read_ct, read_labels, read_probability
from vfseg.errors import UserError
from vfseg.evaluation.evaluate import RESEARCH_USE, Evaluator, summarise, write_evaluation
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.inference.case import predict_case, write_prediction
from vfseg.inference.model import (
    best_step,
    load_model,
    load_thresholds,
    make_predictor,
    save_thresholds,
)
from vfseg.inference.predict import FUSIONS
from vfseg.report.case import draw_case
from vfseg.report.page import write_page
from vfseg.report.results_table import results_text
from vfseg.training.loop import train
from vfseg.training.parallel import RUNNERS
from vfseg.training.recipe import prepare_settings


def run(config: ConfigDict, workdir: Path) -> None:
    """Prepare, train, evaluate, report; an evaluation of the best checkpoint stands."""
    train_model(config, workdir)
    summary = workdir / "evaluation" / "summary.json"
    best = best_step(workdir / "checkpoints")
    if not summary.exists() or json.loads(summary.read_text())["step"] != best:
        evaluate(config, workdir)
    page = workdir / "report" / "index.html"
    if page.exists() and page.stat().st_mtime > summary.stat().st_mtime:
        _print_results(_read_summary(workdir), page)
    else:
        report(config, workdir)


def prepare(config: ConfigDict, workdir: Path) -> tuple[tuple[Case, ...], tuple[CaseRecord, ...]]:
    """Makes the synthetic cohort where no manifest is named, and brings the store up to date."""
    _check(config)
    if config.manifest:
        manifest = Path(config.manifest)
    else:
        manifest = make_cohort(workdir / "cohort", config.phantom.to_dict())
    cases = read_manifest(manifest)
    return cases, prepare_cases(cases, prepare_settings(config), workdir / "store")


def train_model(config: ConfigDict, workdir: Path) -> None:
    """Trains from the newest checkpoint, or from the start."""
    _remember(config, workdir)
    _, records = prepare(config, workdir)
    evaluator_of = _evaluator_of(config, workdir)
    validation = _split(records, "validation")

    def validate(g_params) -> dict[str, float]:
        histogram = ScoreHistogram()
        for _, _, scores in evaluator_of(g_params).slice_scores(validation, "validate"):
            histogram += scores
        score = histogram.average_precision()
        return {"pr_auc": 0.0 if score is None else score}

    train(config, workdir, workdir / "store", _split(records, "train"), validate)


def evaluate(config: ConfigDict, workdir: Path) -> None:
    """Restores the best checkpoint, chooses thresholds on validation, scores the test cases."""
    cases, records = prepare(config, workdir)
    checkpoints = workdir / "checkpoints"
    model = load_model(checkpoints)
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
    scores = evaluator.score(cases, test, thresholds.slice.value, "test", output=output)
    summary = summarise(
        scores, thresholds, split="test", synthetic=not config.manifest, seed=config.seed
    )
    summary["step"] = model.step
    write_evaluation(workdir / "evaluation", summary, scores)


def report(config: ConfigDict, workdir: Path) -> None:
    """Draws the predicted cases and writes the page; prints the table of results."""
    cases, _ = prepare(config, workdir)
    summary = _read_summary(workdir)
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


def predict(
    input_ct: Path,
    *,
    vertebrae: Path | None,
    boxes: Path | None,
    output: Path,
    checkpoints: Path,
    vertebra_scheme: str | None,
    boxes_inclusive: bool,
    overwrite: bool,
) -> None:
    """Predicts one CT with a trained model and writes map, mask and pictures to `output`."""
    if (output / "probability.nii.gz").exists() and not overwrite:
        print(f"{output}: results stand and are kept; --overwrite replaces them")
        return
    if vertebrae is None and boxes is None:
        raise UserError("--mode predict needs --vertebrae LABELMAP or --boxes FILE.")
    model = load_model(checkpoints)
    slice_threshold, threshold = load_thresholds(checkpoints, model.step)
    trained_on = "real" if model.config.manifest else "synthetic"
    print(f"model: {checkpoints}, step {model.step}, trained on {trained_on} fractures")
    print(f"threshold {threshold:.3f}, chosen on validation. {RESEARCH_USE}")
    settings = dataclasses.replace(
        model.prepare, vertebra_scheme=vertebra_scheme or "", boxes_inclusive=boxes_inclusive
    )
    case = Case(output.name, output.name, ct=input_ct, vertebrae=vertebrae, boxes=boxes)
    found = predict_case(case, model, settings, slice_threshold, threshold)
    write_prediction(found, output)
    draw_case(
        found.ct,
        found.probability,
        truth=None,
        labels=None if found.labels is None else found.labels.array,
        vertebrae=found.vertebrae,
        threshold=threshold,
        case_id=output.name,
        synthetic=False,
        directory=output,
    )
    print("level  highest  flags")
    for vertebra, highest in zip(found.vertebrae, found.highest):
        print(f"{vertebra.level:5}  {highest:7.3f}  {', '.join(vertebra.flags)}")
    print(
        f"volume at the threshold: {found.predicted_ml:.3f} mL (false positive as far as this "
        f"spine is healthy)\nwritten: {output}"
    )


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


def _split(records: Iterable[CaseRecord], split: str) -> tuple[CaseRecord, ...]:
    chosen = tuple(record for record in records if record.split == split)
    if not chosen:
        raise UserError(
            f"no case of split {split!r}. Name one of train, validation, test in the column "
            "'split' of the manifest for every case."
        )
    return chosen


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
