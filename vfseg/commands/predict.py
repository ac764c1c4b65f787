"""Mode `predict`: the CTs of a user through a trained model."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from vfseg import RESEARCH_USE, processes
from vfseg.commands.workdir import alone_in
from vfseg.config.model import open_model
from vfseg.config.shipped import SHIPPED
from vfseg.data.cases import Case
from vfseg.data.discovery import case_of_ct, find_cases
from vfseg.data.outputs import NOTE
from vfseg.data.spine import SpineReading
from vfseg.data.vertebra_labels import segment_vertebrae
from vfseg.data.volume import read_geometry, write_boxed_labels
from vfseg.devices import enough_memory
from vfseg.errors import CannotWrite, UserError, quantity
from vfseg.evaluation.findings import LISTED_ML, Findings, list_findings
from vfseg.evaluation.lists import LESION_COLUMNS
from vfseg.evaluation.sentences import sentences, table
from vfseg.files import make_sure_of, make_sure_of_room, write_table
from vfseg.inference.case import (
    LESION_MAP,
    LESIONS,
    MASK,
    PROBABILITY,
    UNCERTAINTY,
    VERTEBRAE,
    Prediction,
    predict_case,
)
from vfseg.inference.estimate import estimate, result_bytes
from vfseg.inference.model import Model
from vfseg.inference.near_vertebrae import MARGIN_MM
from vfseg.report.case_lists import lists_of
from vfseg.report.scene import Scene
from vfseg.stopping import STOP

AUTO = Path("auto")
"""In place of a label map: TotalSegmentator makes one."""
_TAKES_LESS = (
    "A CT that is cut to the spine takes less, and so does a model with fewer views "
    "(config.inference) or smaller crops; JAX_PLATFORMS=cpu has the memory of the whole machine."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks to be predicted.

    Attributes:
        input: a CT (see `read_ct`) or a folder of cases (see `find_cases`).
        output: folder of the results of one CT, or of a folder for each case.
        vertebrae: label map of the one CT, or `AUTO` for every CT that has neither map nor boxes.
        boxes: box file of the one CT.
        model: see `open_model`; None for the one shipped with the package.
        reading: how label maps and boxes are read.
        overwrite: whether results that stand are replaced.
        everywhere: whether maps show also what lies away from the vertebrae.
        follow_links: whether links of a manifest may lead out of its folder.
    """

    input: Path
    output: Path
    vertebrae: Path | None = None
    boxes: Path | None = None
    model: Path | None = None
    reading: SpineReading = dataclasses.field(default_factory=SpineReading)
    overwrite: bool = False
    everywhere: bool = False
    follow_links: bool = False


def predict(request: Request) -> None:
    """Predicts one CT, or each case of a folder.

    A case of a folder that cannot be predicted is left out and named at the end.

    Raises:
        UserError: whatever is wrong with the one CT, or with all cases; no model; the results could
            not be written.
        Stopped: the program was asked to end; the case at hand is finished first.
    """
    cases, one = _cases(request)
    wanted = [(case, request.output if one else request.output / case.case_id) for case in cases]
    if processes.is_first():
        make_sure_of(request.output)
    with alone_in(request.output, *(at.name for _, at in wanted if at != request.output)):
        _predict_all(request, wanted, one)


def _predict_all(request: Request, wanted: Sequence[tuple[Case, Path]], one: bool) -> None:
    """Predicts those cases, each into its folder, whose results do not stand."""
    todo = [(case, at) for case, at in wanted if request.overwrite or not _stands(at)]
    if len(todo) < len(wanted):
        kept = len(wanted) - len(todo)
        words = "the result stands and is" if kept == 1 else f"{kept} results stand and are"
        print(f"{request.output}: {words} kept; --overwrite replaces what stands")
    todo = list(processes.share(todo))
    if not todo:
        return
    model = open_model(request.model or SHIPPED)
    name = request.model or "shipped with vfseg"
    print(f"model: {name}, step {model.step}, trained on {_fractures_of(model)} fractures")
    print(f"threshold {model.thresholds.fused:.3f}, chosen on validation. {RESEARCH_USE}")
    _make_sure_of_room(request.output, [case for case, _ in todo], model)
    tried, failed = 0, []
    for case, directory in todo:
        if STOP.asked:
            break
        tried += 1
        try:
            with enough_memory(_TAKES_LESS):
                known = _with_vertebrae(case, request, directory)
                _predict(known, model, request, directory)
        except CannotWrite:  # nor could the next one be
            raise
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
        print("\n  ".join([f"left out, {len(failed)} of {tried}:", *failed]))
    if tried < len(todo):
        STOP.after_case(
            f"{request.output}: {tried - len(failed)} of {quantity(len(todo), 'case')} predicted, "
            f"which are kept; the same command {'without --overwrite ' * request.overwrite}"
            "predicts the others."
        )


def _make_sure_of_room(output: Path, cases: Sequence[Case], model: Model) -> None:
    """Refuses to begin where the results of all cases do not fit on the disk."""
    needed = 0
    for case in cases:
        with contextlib.suppress(UserError):  # which is said when it is its turn
            needed += result_bytes(
                read_geometry(case.ct), model.prepare, len(model.predictor.views)
            )
    make_sure_of_room(output, needed, f"the results of {quantity(len(cases), 'case')}")


def _cases(request: Request) -> tuple[tuple[Case, ...], bool]:
    """The cases, and whether there is one CT, which was named itself."""
    vertebrae, boxes = request.vertebrae, request.boxes
    if vertebrae is not None and boxes is not None:
        raise UserError("--vertebrae and --boxes: both name the vertebrae. Give one of them.")
    if boxes is not None or vertebrae not in (None, AUTO):
        read_geometry(request.input)
        return (case_of_ct(request.input, vertebrae=vertebrae, boxes=boxes),), True
    cases, notes = find_cases(request.input, follow_links=request.follow_links)
    for note in notes:
        logging.warning("%s", note)
    return cases, len(cases) == 1 and cases[0].ct == request.input


def _stands(folder: Path) -> bool:
    return all((folder / name).exists() for name in (PROBABILITY, MASK, VERTEBRAE))


def _with_vertebrae(case: Case, request: Request, directory: Path) -> Case:
    """The case with a label map or boxes; TotalSegmentator makes a map where it is asked to."""
    if case.vertebrae is not None or case.boxes is not None:
        return case
    if request.vertebrae != AUTO:
        raise UserError(
            f"{case.ct}: where are its vertebrae? Give --vertebrae LABELMAP, --boxes FILE, or "
            "--vertebrae auto (TotalSegmentator)."
        )
    made = directory / "vertebrae.nii.gz"
    if request.overwrite or not made.exists():
        segment_vertebrae(case.ct, made)
    return dataclasses.replace(case, vertebrae=made)


def _fractures_of(model: Model) -> str:
    return "synthetic" if model.synthetic else "the user's"


def _predict(case: Case, model: Model, request: Request, output: Path) -> None:
    """Predicts one case and writes maps, lists and pictures to `output`."""
    geometry = read_geometry(case.ct)
    for remark in geometry.remarks:
        logging.warning("%s: %s", case.ct, remark)
    seconds, memory = estimate(geometry, model, labelled=case.vertebrae is not None)
    size = "x".join(map(str, geometry.stored_shape[:3]))
    print(
        f"{case.case_id}: {size} voxels, at most about {seconds:.0f} s and {memory / 1e9:.2g} GB "
        "of memory"
    )
    make_sure_of(output)
    everywhere = request.everywhere
    found = predict_case(case, model, request.reading, output, everywhere=everywhere)
    listed = list_findings(case.case_id, found, model.thresholds)
    provenance = {"trained_on": _fractures_of(model), "use": "research only"}
    rows, columns = [row | provenance for row in listed.lesions], (*LESION_COLUMNS, *provenance)
    box, geometry = found.probability.box, found.ct.geometry
    write_boxed_labels(output / LESION_MAP, listed.numbers, box, geometry, NOTE)
    write_table(output / LESIONS, rows, columns)
    for picture in output.glob("place-*.png"):
        picture.unlink()
    if found.outside:
        logging.warning(
            "%s: %s: outside the range on which the model was trained; its scores may mean little",
            *(case.case_id, found.outside),
        )
    trained = f"model trained on {_fractures_of(model)} fractures"
    if found.outside:
        trained += f"; outside its range: {found.outside}"
    title = f"{case.case_id} ({trained})"
    scene = Scene(
        *(title, found.ct, found.spine, found.probability, model.thresholds.fused),
        uncertainty=found.uncertainty,
    )
    # A second, in which a CT may already be refused.
    from vfseg.report.case import draw_case
    from vfseg.report.case_page import About

    draw_case(scene, About(case.case_id, lists_of(listed), model.synthetic, found.outside), output)
    # The list of vertebrae comes last: where it stands, everything does, and of one model.
    write_table(output / VERTEBRAE, [row | provenance for row in listed.vertebrae])
    _print(case, found, listed, output, everywhere=everywhere)


def _print(
    case: Case, found: Prediction, listed: Findings, output: Path, *, everywhere: bool
) -> None:
    print(f"{case.case_id}: {'; '.join(found.spine.notes)}")
    print("\n".join([*sentences(listed), "", *table(listed.vertebrae), ""]))
    lesions = "1 lesion" if len(listed.lesions) == 1 else f"{len(listed.lesions)} lesions"
    print(f"{lesions} of at least {LISTED_ML:g} mL: {LESIONS}, numbered as in {LESION_MAP}")
    if found.views > 1:
        print(f"{UNCERTAINTY}: standard deviation over {found.views} views of each crop")
    else:
        print(
            f"no {UNCERTAINTY}: this model predicts every voxel once, which has no spread; one "
            "trained with config.inference.flips, shifts or several planes gives it"
        )
    where = "" if everywhere else f", in the vertebrae and up to {MARGIN_MM:g} mm around them"
    print(f"volume at the threshold: {found.predicted_ml:.3f} mL{where}\nwritten: {output}")
