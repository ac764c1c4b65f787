"""Mode `predict`: the CTs of a user through a trained model."""

import dataclasses
from pathlib import Path

from absl import logging

from vfseg import RESEARCH_USE, processes
from vfseg.crops.prepare import PrepareSettings
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.data.instances import LESION_MM3
from vfseg.data.vertebra_labels import segment_vertebrae
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError
from vfseg.evaluation.findings import list_findings
from vfseg.evaluation.lists import LESION_COLUMNS
from vfseg.files import write_table
from vfseg.inference.case import MASK, PROBABILITY, UNCERTAINTY, predict_case
from vfseg.inference.estimate import estimate
from vfseg.inference.model import ChosenThresholds, Model, load_thresholds
from vfseg.inference.shipped import SHIPPED, open_model
from vfseg.report.case import draw_case
from vfseg.training.recipe import is_synthetic

VERTEBRAE, LESIONS = "vertebrae.csv", "lesions.csv"


def predict(
    input_path: Path,
    *,
    vertebrae: Path | None,
    boxes: Path | None,
    output: Path,
    checkpoints: Path | None,
    vertebra_scheme: str | None,
    boxes_inclusive: bool,
    overwrite: bool,
) -> None:
    """Predicts one CT into `output`, or each case of a folder into a folder of `output`.

    `input_path` is a CT (see `read_ct`) or a folder of cases (see `find_cases`); `vertebrae` or
    `boxes` belong to one CT, but "auto" has TotalSegmentator label every CT that has neither.
    `checkpoints` names the model, see `open_model`; None takes the one shipped with the package.
    A case of a folder that cannot be predicted is left out and named at the end.
    """
    auto = vertebrae == Path("auto")
    if vertebrae is not None and boxes is not None:
        raise UserError("--vertebrae and --boxes: both name the vertebrae. Give one of them.")
    if boxes is None and (vertebrae is None or auto):
        cases, notes = find_cases(input_path)
    else:
        cases, notes = (Case(output.name, output.name, input_path, vertebrae, boxes),), ()
        read_geometry(input_path)
    for note in notes:
        logging.warning("%s", note)
    one = len(cases) == 1 and cases[0].ct == input_path
    wanted = [(case, output if one else output / case.case_id) for case in cases]
    todo = [(case, folder) for case, folder in wanted if overwrite or not _stands(folder)]
    if len(todo) < len(wanted):
        print(
            f"{output}: {len(wanted) - len(todo)} results stand and are kept; --overwrite "
            "replaces them"
        )
    todo = list(processes.share(todo))
    if not todo:
        return
    checkpoints = SHIPPED if checkpoints is None else checkpoints
    model = open_model(checkpoints)
    thresholds = load_thresholds(checkpoints, model.step)
    name = "shipped with vfseg" if checkpoints == SHIPPED else checkpoints
    print(f"model: {name}, step {model.step}, trained on {_fractures_of(model)} fractures")
    print(f"threshold {thresholds.fused:.3f}, chosen on validation. {RESEARCH_USE}")
    settings = dataclasses.replace(
        model.prepare, vertebra_scheme=vertebra_scheme or "", boxes_inclusive=boxes_inclusive
    )
    failed = []
    for case, directory in todo:
        try:
            if auto and case.vertebrae is None and case.boxes is None:
                made = directory / "vertebrae.nii.gz"
                if overwrite or not made.exists():
                    segment_vertebrae(case.ct, made)
                case = dataclasses.replace(case, vertebrae=made)
            if case.vertebrae is None and case.boxes is None:
                raise UserError(
                    f"{case.ct}: where are its vertebrae? Give --vertebrae LABELMAP, --boxes FILE, "
                    "or --vertebrae auto (TotalSegmentator)."
                )
            _predict(case, model, settings, thresholds, directory)
        except Exception as error:
            if one:
                raise
            # What no check foresaw is still a matter of this case alone.
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            logging.debug("%s: cannot be predicted", case.case_id, exc_info=True)
            failed.append(f"{case.case_id}: {kind}{error}")
    if len(failed) == len(todo):
        raise UserError("\n  ".join(["no case could be predicted:", *failed]))
    if failed:
        print("\n  ".join([f"left out, {len(failed)} of {len(todo)}:", *failed]))


def _fractures_of(model: Model) -> str:
    return "synthetic" if is_synthetic(model.config) else "the user's"


def _stands(folder: Path) -> bool:
    return all((folder / name).exists() for name in (PROBABILITY, MASK, VERTEBRAE))


def _predict(
    case: Case,
    model: Model,
    settings: PrepareSettings,
    thresholds: ChosenThresholds,
    output: Path,
) -> None:
    """Predicts one case and writes maps, lists and pictures to `output`."""
    geometry = read_geometry(case.ct)
    seconds, memory = estimate(geometry, model)
    size = "x".join(map(str, geometry.stored_shape[:3]))
    print(
        f"{case.case_id}: {size} voxels, at most about {seconds:.0f} s and {memory / 1e9:.1f} GB "
        "of memory"
    )
    # The list of vertebrae comes last: where it stands, everything does, and of one model.
    for name in (VERTEBRAE, LESIONS):
        (output / name).unlink(missing_ok=True)
    found = predict_case(case, model, settings, thresholds.slice, thresholds.fused, output)
    listed = list_findings(case.case_id, found, thresholds.fused, thresholds.vertebra)
    provenance = {"trained_on": _fractures_of(model), "use": "research only"}
    rows, columns = [row | provenance for row in listed.lesions], (*LESION_COLUMNS, *provenance)
    write_table(output / LESIONS, rows, columns)
    for picture in output.glob("place-*.png"):
        picture.unlink()
    draw_case(
        found.ct,
        found.probability,
        truth=None,
        labels=None if found.spine.labels is None else found.spine.labels.array,
        vertebrae=found.spine.vertebrae,
        threshold=thresholds.fused,
        case_id=f"{output.name} (model trained on {_fractures_of(model)} fractures)",
        synthetic=False,
        directory=output,
    )
    write_table(output / VERTEBRAE, [row | provenance for row in listed.vertebrae])
    print(f"{case.case_id}: {'; '.join(found.spine.notes)}")
    print("level  score  suspected  flags")
    for row in listed.vertebrae:
        suspected = "yes" if row["suspected"] else ""
        print(f"{row['level']:5}  {row['score']:5.3f}  {suspected:9}  {row['flags']}".rstrip())
    print(f"{len(listed.lesions)} lesions of at least {LESION_MM3:g} mm3: lesions.csv")
    if found.views > 1:
        print(f"{UNCERTAINTY}: standard deviation over {found.views} views of each crop")
    else:
        print(
            f"no {UNCERTAINTY}: this model predicts every voxel once, which has no spread; one "
            "trained with config.inference.flips, shifts or several planes gives it"
        )
    print(
        f"volume at the threshold: {found.predicted_ml:.3f} mL (false positive as far as this "
        f"spine is healthy)\nwritten: {output}"
    )
