"""Mode `predict`: the CTs of a user through a trained model."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from absl import logging
from tqdm import tqdm

from vfseg import RESEARCH_USE, processes
from vfseg.commands.case_result import (
    TAKES_LESS,
    draw,
    finish_dicom,
    list_vertebrae,
    predict_maps,
    refused_for,
)
from vfseg.commands.find import OUTLINES, PICTURE, POINTS, draw_found, with_found
from vfseg.commands.request import (
    AUTO,
    Request,
    cases_of,
    check_dicom,
    check_lowest,
)
from vfseg.commands.workdir import alone_in
from vfseg.config.model import open_model
from vfseg.config.shipped import SHIPPED
from vfseg.data.attribution import SHOWN_MARGIN_MM
from vfseg.data.cases import Case
from vfseg.data.outputs import DICOM_REPORT, is_own_file
from vfseg.data.vertebra_labels import segment_vertebrae
from vfseg.data.volume import read_geometry
from vfseg.devices import enough_memory
from vfseg.errors import CannotWrite, UserError, quantity
from vfseg.evaluation.findings import LISTED_ML, Findings
from vfseg.evaluation.phrases import phrase
from vfseg.evaluation.sentences import sentences, table
from vfseg.files import make_sure_of, make_sure_of_room, read_table, write_table
from vfseg.inference.case import (
    LESION_MAP,
    LESIONS,
    MASK,
    PROBABILITY,
    UNCERTAINTY,
    VERTEBRAE,
    Prediction,
)
from vfseg.inference.estimate import estimate, result_bytes
from vfseg.inference.model import Model
from vfseg.report.dicom_source import open_source
from vfseg.stopping import STOP, Stopped


def predict(request: Request) -> None:
    """Predicts one CT, or each case of a folder.

    A case of a folder that cannot be predicted is left out and named at the end.

    Raises:
        UserError: whatever is wrong with the one CT, or with all cases; no model; the results could
            not be written, or would replace what is none.
        Stopped: the program was asked to end; the case at hand is finished first.
    """
    cases, one = cases_of(request)
    if not one and (request.output / PROBABILITY).exists():
        raise UserError(
            f"{request.output}: holds the results of one CT, and its {VERTEBRAE}. Name another "
            "--output for a folder of cases."
        )
    check_dicom(request, cases)
    check_lowest(request)
    if not one and (why := refused_for(request.output, (VERTEBRAE,))):
        raise UserError(why)
    wanted = [(case, request.output if one else request.output / case.case_id) for case in cases]
    if processes.is_first():
        make_sure_of(request.output)
    with alone_in(request.output, *(at.name for _, at in wanted if at != request.output)):
        try:
            _predict_all(request, wanted, one)
        except Stopped:
            _list_all(request.output, wanted, one)
            raise
        processes.wait()
        _list_all(request.output, wanted, one)


def _list_all(output: Path, wanted: Sequence[tuple[Case, Path]], one: bool) -> None:
    """Writes one table and one page of all cases of a folder whose results stand."""
    if one or not processes.is_first():
        return
    standing = [at for _, at in wanted if _stands(at)]
    tables = [read_table(at / VERTEBRAE) for at in standing]
    if not tables:
        return
    # Of another version, a table may have other columns.
    columns = list(dict.fromkeys(column for names, _ in tables for column in names))
    rows = [{c: row.cells.get(c, "") for c in columns} for _, rows in tables for row in rows]
    write_table(output / VERTEBRAE, rows, columns)
    # A second, in which a CT may already be refused.
    from vfseg.report.cases_page import write_cases_page

    page = write_cases_page(output, [at.name for at in standing])
    vertebrae = quantity(len(rows), "vertebra", "vertebrae")
    print(f"{vertebrae} of {quantity(len(tables), 'case')}: {output / VERTEBRAE}, {page}")


def _predict_all(request: Request, wanted: Sequence[tuple[Case, Path]], one: bool) -> None:
    """Predicts those cases, each into its folder, whose results do not stand."""
    todo = [(case, at) for case, at in wanted if request.overwrite or not _is_done(at, request)]
    if request.lowest and not todo:
        raise UserError(
            f"--lowest {request.lowest}: {request.output} holds results already. --overwrite "
            "predicts anew."
        )
    if len(todo) < len(wanted):
        kept = len(wanted) - len(todo)
        words = "the result stands and is" if kept == 1 else f"{kept} results stand and are"
        print(f"{request.output}: {words} kept; --overwrite replaces what stands")
    kept_from = {at: words for _, at in todo if (words := _kept_from(request, at))}
    if todo and len(kept_from) == len(todo):
        raise UserError("\n  ".join(kept_from.values()))
    todo = list(processes.share(todo))
    if not todo:
        return
    model = open_model(request.model or SHIPPED)
    name = request.model or "shipped with vfseg"
    steps = ", ".join(map(str, model.steps))
    which = (
        f"step {steps}" if len(model.steps) == 1 else f"{len(model.steps)} models of steps {steps}"
    )
    print(f"model: {name}, {which}, trained on {model.fractures} fractures")
    chosen = model.thresholds
    chosen_on = phrase("en", chosen.chosen_on)
    print(f"threshold {chosen.fused:.3f}, chosen on {chosen_on} cases. {RESEARCH_USE}")
    _make_sure_of_room(request.output, [case for case, _ in todo], model)
    tried, failed = 0, []
    several = None if len(todo) > 1 else True
    for case, directory in tqdm(todo, "cases", unit="case", disable=several):
        if STOP.asked:
            break
        tried += 1
        try:
            if directory in kept_from:
                raise UserError(kept_from[directory])
            with enough_memory(TAKES_LESS):
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
    if len(failed) == len(todo) and not any(_stands(at) for _, at in wanted):
        raise UserError("\n  ".join(["no case could be predicted:", *failed]))
    if failed:
        print("\n  ".join([f"left out, {len(failed)} of {tried}:", *failed]))
    if tried < len(todo):
        STOP.after_case(
            f"{request.output}: {tried - len(failed)} of {quantity(len(todo), 'case')} predicted, "
            f"which are kept; the same command {'without --overwrite ' * request.overwrite}"
            "predicts the others."
        )


def _kept_from(request: Request, folder: Path) -> str:
    """Why a case that is not done is not predicted; "" where nothing speaks against it.

    A file that is no result would be replaced. Or, unless that is asked for: its results stand and
    DICOM of them is asked for, or DICOM stands whose maps are gone, and another model would replace
    them by others. DICOM without its report is of a run that ended half way.
    """
    anew = "--overwrite predicts anew and replaces what stands; or name another --output."
    if not request.overwrite and _stands(folder):
        return f"{folder}: results stand, but not as DICOM, which comes with them. {anew}"
    if not request.overwrite and (folder / DICOM_REPORT).exists():
        return (
            f"{folder / DICOM_REPORT}: stands already, though not all of the maps and lists that "
            f"it came with. {anew}"
        )
    return refused_for(folder)


def _make_sure_of_room(output: Path, cases: Sequence[Case], model: Model) -> None:
    """Refuses to begin where the results of all cases do not fit on the disk."""
    needed = 0
    for case in cases:
        with contextlib.suppress(UserError):  # which is said when it is its turn
            needed += result_bytes(read_geometry(case.ct), model.prepare, model.predictions)
    make_sure_of_room(output, needed, f"the results of {quantity(len(cases), 'case')}")


def _stands(folder: Path) -> bool:
    return all((folder / name).exists() for name in (PROBABILITY, MASK, VERTEBRAE))


def _is_done(folder: Path, request: Request) -> bool:
    """Whether all that is asked for stands."""
    return _stands(folder) and (not request.dicom or (folder / DICOM_REPORT).exists())


def _with_vertebrae(case: Case, request: Request, directory: Path) -> Case:
    """The case with a label map, boxes or points, which are made where there are none."""
    if any((case.vertebrae, case.boxes, case.points)):
        return case
    if request.vertebrae != AUTO:
        return with_found(case, request, directory)
    made = directory / OUTLINES
    if request.overwrite or not made.exists() or is_own_file(made):
        segment_vertebrae(case.ct, made)
    return dataclasses.replace(case, vertebrae=made)


def _predict(case: Case, model: Model, request: Request, output: Path) -> None:
    """Predicts one case, writes maps, lists and pictures to `output`, and says what was found."""
    geometry = read_geometry(case.ct)
    seconds, memory = estimate(geometry, model, labelled=case.vertebrae is not None)
    size = "x".join(map(str, geometry.stored_shape[:3]))
    with tqdm.external_write_mode():  # of the cases
        print(
            f"{case.case_id}: {size} voxels, at most about {seconds:.0f} s and "
            f"{memory / 1e9:.2g} GB of memory"
        )
    make_sure_of(output)
    source = open_source(case.ct) if request.dicom else None
    result = predict_maps(case, model, request.reading, output, everywhere=request.everywhere)
    draw(result, output)
    if case.vertebrae != output / OUTLINES and is_own_file(output / OUTLINES):
        (output / OUTLINES).unlink()  # of an earlier prediction
    if case.points == output / POINTS:
        draw_found(result, output / PICTURE)
        with tqdm.external_write_mode():
            print(
                f"{output / PICTURE}: look whether the vertebrae are right. If not, correct "
                f"{POINTS} beside it, and give the same command with --overwrite"
            )
    elif request.overwrite:
        (output / PICTURE).unlink(missing_ok=True)  # of an earlier prediction
    with tqdm.external_write_mode():
        _print(case, result.found, result.listed, output, everywhere=request.everywhere)
    if source is not None:
        try:
            finish_dicom(result, source, output)
        except (UserError, MemoryError):  # the other results are whole
            list_vertebrae(result, output)
            raise
        with tqdm.external_write_mode():
            print(
                f"as DICOM, with name and number of the patient: {(output / DICOM_REPORT).parent}"
            )
    list_vertebrae(result, output)


def _print(
    case: Case, found: Prediction, listed: Findings, output: Path, *, everywhere: bool
) -> None:
    if found.spine.notes:
        print(f"{case.case_id}: {'; '.join(found.spine.notes)}")
    print("\n".join([*sentences(listed), "", *table(listed.vertebrae), ""]))
    lesions = quantity(len(listed.lesions), "lesion")
    print(f"{lesions} of at least {LISTED_ML:g} mL: {LESIONS}, numbered as in {LESION_MAP}")
    if found.predictions > 1:
        print(
            f"{UNCERTAINTY}: standard deviation over {found.predictions} predictions of each crop"
        )
    else:
        print(
            f"no {UNCERTAINTY}: this model predicts every voxel once, which has no spread; one "
            "trained with config.inference.flips, shifts or several planes gives it"
        )
    where = "" if everywhere else f", in the vertebrae and up to {SHOWN_MARGIN_MM:g} mm around them"
    print(f"volume at the threshold: {found.predicted_ml:.3f} mL{where}")
    from vfseg.report.case_page import PAGE  # late, as what drew it

    print(f"written: {output}; open {output / PAGE}")
