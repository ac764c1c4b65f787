"""What a user asks to be predicted or shown, and what can be said of it at once."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from vfseg.data.cases import Case
from vfseg.data.dicom import holds_dicom, is_series_path
from vfseg.data.discovery import case_of_ct, find_cases
from vfseg.data.geometry import Geometry
from vfseg.data.settings import SpineReading
from vfseg.data.spine import check_grid
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError, quantity
from vfseg.files import check_new_file, make_sure_of
from vfseg.localisation.levels import NAMES
from vfseg.report.dicom_source import check_dicom_can_be_made

AUTO = Path("auto")
"""In place of a label map: TotalSegmentator makes one."""

FIND = Path("find")
"""In place of a label map: the vertebrae are found from the CT alone; so they are for a prediction
where nothing names them."""

_MADE = (AUTO, FIND)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks to be predicted.

    Attributes:
        input: a CT (see `read_ct`) or a folder of cases (see `find_cases`).
        output: folder of the results of one CT, or of a folder for each case; a picture.
        vertebrae: label map of the one CT, or `AUTO` or `FIND` for every CT that has neither map
            nor boxes; None is `FIND` for a prediction.
        boxes: box file of the one CT.
        points: middles of the vertebral bodies of the one CT, see `read_points`.
        lowest: level of the lowest vertebra in view, where vertebrae are to be found.
        model: see `open_model`; None for the one shipped with the package.
        reading: how label maps and boxes are read.
        overwrite: whether results that stand are replaced.
        everywhere: whether maps show also what lies away from the vertebrae.
        dicom: whether results are also written as DICOM.
        follow_links: whether links of a manifest may lead out of its folder.
    """

    input: Path
    output: Path
    vertebrae: Path | None = None
    boxes: Path | None = None
    points: Path | None = None
    lowest: str | None = None
    model: Path | None = None
    reading: SpineReading = dataclasses.field(default_factory=SpineReading)
    overwrite: bool = False
    everywhere: bool = False
    dicom: bool = False
    follow_links: bool = False

    def new_file(self, suffix: str, kind: str) -> Path:
        """The output, where it is one file that is written anew.

        Args:
            suffix: in which its name has to end.
            kind: what it is, for messages.

        Raises:
            UserError: as `check_new_file`.
        """
        check_new_file(self.output, suffix, kind, overwrite=self.overwrite)
        return self.output


def cases_of(request: Request) -> tuple[tuple[Case, ...], bool]:
    """The cases, and whether there is one CT, which was named itself.

    Raises:
        UserError: no such file, no case, or vertebrae that are named twice over.
    """
    case = _named_case(request)
    if case is not None:
        read_geometry(case.ct)
        return (case,), True
    cases, notes = find_cases(request.input, follow_links=request.follow_links)
    for note in notes:
        logging.warning("%s", note)
    return cases, len(cases) == 1 and cases[0].ct == request.input


def check_dicom(request: Request, cases: Sequence[Case]) -> None:
    """Refuses to make DICOM where a CT is none, or the library is missing.

    Raises:
        UserError: which CTs are none; what to install.
    """
    if not request.dicom:
        return
    check_dicom_can_be_made()
    others = [case.ct for case in cases if not is_series_path(case.ct)]
    if others:
        more = f" and {quantity(len(others) - 1, 'other')}" if len(others) > 1 else ""
        raise UserError(
            f"--dicom: {others[0]}{more}: no DICOM series, to whose slices the results could "
            "refer. Give the series, or leave out --dicom."
        )


def check_lowest(request: Request) -> None:
    """Refuses a lowest vertebra that none is, or whose name has no use.

    Raises:
        UserError: its name is unknown; the vertebrae are named otherwise; there are many CTs.
    """
    lowest = request.lowest
    if lowest is None:
        return
    if lowest not in NAMES[:-1]:
        raise UserError(f"--lowest {lowest}: no vertebra. Name one of {NAMES[0]} to {NAMES[-2]}.")
    if request.vertebrae not in (None, FIND) or request.boxes or request.points:
        raise UserError(
            f"--lowest {lowest}: is for vertebrae that are found. Leave out one of them."
        )
    if _holds_cases(_reachable(request.input)):
        raise UserError(
            f"--lowest {lowest}: says nothing of the many CTs of {request.input}. Name one CT."
        )


def look_at(request: Request) -> None:
    """Says what will be predicted, and refuses what is wrong as far as headers tell.

    Raises:
        UserError: as `cases_of`, for one CT; a label map on another grid; an output that cannot be
            written; as `check_lowest`.
    """
    check_lowest(request)
    case = _named_case(request)
    if case is None and _holds_cases(_reachable(request.input)):
        print(f"{request.input}: looking for cases", flush=True)
    else:
        case = case or case_of_ct(request.input)
        geometry = read_geometry(case.ct)
        check_grid(case, geometry)
        print(f"{case.ct}: {size_of(geometry)}", flush=True)
    make_sure_of(request.output)


def asked_case(request: Request) -> Case:
    """The one CT that is asked for, with its vertebrae.

    Raises:
        UserError: it is not said where they are, or several times.
    """
    case = _named_case(request)
    if case is not None:
        return case
    if request.vertebrae in _MADE:
        raise UserError(
            f"--vertebrae {request.vertebrae}: makes vertebrae on the way to a prediction. Give "
            "those that there are, with --vertebrae LABELMAP, --boxes or --points; vfseg find "
            "makes points."
        )
    if _holds_cases(_reachable(request.input)):
        raise UserError(
            f"{request.input}: name one CT, and its vertebrae with --vertebrae, --boxes or "
            "--points."
        )
    case = case_of_ct(request.input)
    read_geometry(case.ct)
    raise UserError(
        f"{case.ct}: where are its vertebrae? Give --vertebrae LABELMAP, --boxes FILE or --points "
        "FILE; vfseg find makes points."
    )


def size_of(geometry: Geometry) -> str:
    """Voxels and spacing of a volume, in the order of its file."""
    voxels = " x ".join(map(str, geometry.stored_shape[:3]))
    stored = [0.0, 0.0, 0.0]
    for axis, spacing in zip(geometry.axes, geometry.voxel_spacing):
        stored[axis] = spacing
    return f"{voxels} voxels of {' x '.join(f'{spacing:.3g}' for spacing in stored)} mm"


def _holds_cases(path: Path) -> bool:
    """Whether a path is a manifest, or a folder that is not itself a CT."""
    return path.suffix.lower() == ".csv" or (path.is_dir() and not holds_dicom(path))


def _reachable(path: Path) -> Path:
    """The path, if it can be looked at.

    Raises:
        UserError: its name is too long, or its folder may not be entered.
    """
    try:
        path.exists()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Check the path.") from error
    return path


def _named_case(request: Request) -> Case | None:
    """The one CT whose vertebrae are named; None where cases are to be looked for."""
    named = {
        f"--{name}": path
        for name in ("vertebrae", "boxes", "points")
        if (path := getattr(request, name)) is not None
    }
    if len(named) > 1:
        raise UserError(
            f"{' and '.join(named)}: {'both name' if len(named) == 2 else 'all name'} the "
            "vertebrae. Give one of them."
        )
    if not named or request.vertebrae in _MADE:
        return None
    files = {name.lstrip("-"): _reachable(path) for name, path in named.items()}
    return case_of_ct(_reachable(request.input), **files)
