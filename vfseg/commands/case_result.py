"""One predicted CT, its maps, lists and pictures: for `--mode predict` and Python's `predict`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from vfseg.data.cases import Case
from vfseg.data.outputs import NOTE, is_own_file
from vfseg.data.settings import SpineReading
from vfseg.data.volume import read_geometry, write_boxed_labels
from vfseg.errors import UserError, in_short
from vfseg.evaluation.findings import Findings, list_findings
from vfseg.evaluation.lists import LESION_COLUMNS
from vfseg.files import write_table
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
from vfseg.inference.model import Model
from vfseg.report.case_lists import lists_of
from vfseg.report.dicom_source import Source
from vfseg.report.scene import Scene

TAKES_LESS = (
    "A CT that is cut to the spine takes less, and so does a model with fewer views "
    "(config.inference) or smaller crops; JAX_PLATFORMS=cpu has the memory of the whole machine."
)
"""What to do where a prediction finds too little memory."""

_RESULTS = (PROBABILITY, MASK, UNCERTAINTY, LESION_MAP, LESIONS, VERTEBRAE)


def refused_for(folder: Path, names: Sequence[str] = _RESULTS) -> str:
    """Why no result may go to a folder: another file has the name of one; "" where none has.

    Such as a mask that a reader has drawn, or the label map that the prediction goes by.

    Args:
        folder: of the results.
        names: of files that would be replaced, or removed.
    """
    for path in (folder / name for name in names):
        if path.exists() and not is_own_file(path):
            return (
                f"{path}: stands already, and is no result of this program, which would write one "
                "there. Name another folder, or move the file."
            )
    return ""


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """What a model says of a CT.

    Attributes:
        case: that was predicted.
        model: that did it.
        found: its maps.
        listed: its vertebrae and lesions; every row says what the model was trained on.
    """

    case: Case
    model: Model
    found: Prediction
    listed: Findings


def predict_maps(
    case: Case, model: Model, reading: SpineReading, folder: Path, *, everywhere: bool = False
) -> CaseResult:
    """Predicts a CT; writes its maps and its list of lesions.

    Args:
        case: with a label map, boxes or points.
        model: that predicts it.
        reading: how the label map or the boxes are read.
        folder: of the files.
        everywhere: whether maps show also what lies away from the vertebrae.

    Raises:
        UserError: as `predict_case`.
    """
    for remark in read_geometry(case.ct).remarks:
        logging.warning("%s: %s", case.ct, remark)
    found = predict_case(case, model, reading, folder, everywhere=everywhere)
    listed = list_findings(case.case_id, found, model.thresholds)
    provenance = {"trained_on": model.fractures, "use": "research only"}
    listed = listed._replace(
        vertebrae=[row | provenance for row in listed.vertebrae],
        lesions=[row | provenance for row in listed.lesions],
    )
    box, geometry = found.probability.box, found.ct.geometry
    write_boxed_labels(folder / LESION_MAP, listed.numbers, box, geometry, NOTE)
    write_table(folder / LESIONS, listed.lesions, (*LESION_COLUMNS, *provenance))
    if found.outside:
        logging.warning(
            "%s: %s: outside the range on which the model was trained; its scores may mean little",
            *(case.case_id, found.outside),
        )
    return CaseResult(case, model, found, listed)


def finish(result: CaseResult, folder: Path) -> None:
    """Draws the pictures of a result beside its maps, and writes its list of vertebrae."""
    draw(result, folder)
    list_vertebrae(result, folder)


def list_vertebrae(result: CaseResult, folder: Path) -> None:
    """Writes the list that comes last: where it stands, everything does, and of one model."""
    write_table(folder / VERTEBRAE, result.listed.vertebrae)


def draw(result: CaseResult, folder: Path) -> None:
    """Draws the pictures and the page of a result beside its maps."""
    found, model = result.found, result.model
    trained = f"model trained on {model.fractures} fractures"
    if found.outside:
        trained += f"; outside its range: {found.outside}"
    title = f"{result.case.case_id} ({trained})"
    scene = Scene(
        *(title, found.ct, found.spine, found.probability, model.thresholds.fused),
        uncertainty=found.uncertainty,
    )
    # A second, in which a CT may already be refused.
    from vfseg.report.case import draw_case
    from vfseg.report.case_page import About

    about = About(
        result.case.case_id, lists_of(result.listed), model.synthetic, outside=found.outside
    )
    draw_case(scene, about, folder)


def finish_dicom(result: CaseResult, source: Source, folder: Path) -> None:
    """Writes a result as DICOM, too.

    Raises:
        UserError: a file cannot be written; no DICOM can be made of this series.
    """
    from vfseg.commands.answers import version
    from vfseg.report.dicom_maps import Maker
    from vfseg.report.dicom_out import write_dicom

    found, model = result.found, result.model
    remarks = [f"trained on {model.fractures} fractures"]
    if found.outside:
        remarks.append(f"outside the range of training: {found.outside}")
    maker = Maker(version(), model.steps, tuple(remarks))
    try:
        write_dicom(source, found, result.listed, maker, folder)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a series may hold what no check foresaw
        raise UserError(
            f"{result.case.ct}: the results stand in {folder}, but no DICOM could be made of them "
            f"({in_short(error)}). Export the series again, or leave out --dicom."
        ) from error
