"""Mode `find`: the vertebrae of a CT from the CT alone, as a file of points to be looked at.

For `predict`, which asks for them on its way, also their outlines as a label map.
"""

import dataclasses
from pathlib import Path
from shlex import quote

from tqdm import tqdm

from vfseg.commands.case_result import CaseResult, refused_for
from vfseg.commands.request import Request, check_lowest, size_of
from vfseg.data.cases import Case
from vfseg.data.discovery import case_of_ct
from vfseg.data.fingerprint import ct_fingerprint
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.points import FOUND, UNCERTAIN
from vfseg.data.schemes import LEVELS
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError, quantity
from vfseg.files import read_table, write_table
from vfseg.localisation.levels import NAMES

COLUMNS = ("level", "x", "y", "z", "confidence", "flags", "ct")
"""Columns of the file: those of `--points`, how sure each place is, `FLAGS` of `data.points`, and
`ct_fingerprint` of the CT."""

POINTS, PICTURE = "points.csv", "points.png"
"""Found vertebrae beside the results of a CT, and the picture of them."""

OUTLINES = "vertebrae.nii.gz"
"""Their outlines, in VerSe's ids."""


def find(request: Request) -> None:
    """Writes the points of one CT, and says how far their names are to be trusted.

    Raises:
        UserError: whatever is wrong with the CT; the file stands already, is not named as one, or
            cannot be written; nothing is found that can be trusted; an unknown lowest level.
    """
    path = request.new_file(".csv", "a file of points")
    check_lowest(request)
    case = case_of_ct(request.input)
    print(f"{case.ct}: {size_of(read_geometry(case.ct))}", flush=True)
    print("\n".join(write_found(case, request.lowest, path)))
    ct, points, picture = (quote(str(p)) for p in (case.ct, path, path.with_suffix(".png")))
    print(f"written: {path}. Look at it before it is used; with --points a prediction takes boxes")
    print("around the points, without it it finds, outlines and measures the bodies:")
    print(f"  vfseg show {ct} --points {points} -o {picture}")
    print(f"  vfseg predict {ct} --points {points} -o out")


def with_found(case: Case, request: Request, folder: Path) -> Case:
    """The case with points in the folder of its results, and outlines around them.

    The points are found now, or taken as they stand: those, which a person may have mended, are
    never written over, but that a lowest level that is theirs settles their names. The outlines
    are made anew from the points.

    Args:
        case: whose vertebrae nothing names.
        request: that asks for them.
        folder: of the results.

    Raises:
        UserError: as in `find`; the points that stand are another CT's, or end on another level
            than the lowest one that is asked for; a label map stands that is none of ours.
    """
    path, outlines = folder / POINTS, folder / OUTLINES
    if why := refused_for(folder, (OUTLINES,)):
        raise UserError(f"{why} Or name it with --vertebrae.")
    lines = []
    if path.exists():
        _check_whose(path, case)
        if request.lowest:
            _settle(path, request.lowest)
        lines.append(f"{path}: stands and is taken; delete it to find anew")
    else:
        if request.vertebrae is None:
            lines.append(
                f"{case.ct}: no vertebrae are named, so they are found, which is experimental; "
                "--vertebrae, --boxes or --points name them"
            )
        lines += [*write_found(case, request.lowest, path), f"{path}: written"]
    case, more = with_outlines(dataclasses.replace(case, points=path), outlines)
    with tqdm.external_write_mode():  # of the cases
        print("\n".join([*lines, *more]))
    return case


def with_outlines(case: Case, path: Path) -> tuple[Case, list[str]]:
    """The case with a label map of the bodies around its points, and what to say of it.

    Where no body can be outlined the case is as it was.

    Args:
        case: with points.
        path: of the label map.

    Raises:
        UserError: a file cannot be read or written.
    """
    from vfseg.segmentation.outlines import write_outlines
    from vfseg.segmentation.weights import read_weights

    assert case.points is not None
    seen, lacking = write_outlines(case.ct, case.points, path, read_weights())
    if not seen:
        path.unlink(missing_ok=True)  # of other points
        return case, ["no body could be outlined: boxes of usual size are taken, without heights"]
    lines = [f"{path.name}: outlines of the bodies around the points, experimental"]
    if lacking:
        lines.append(f"left out, since they could not be outlined: {', '.join(lacking)}")
    return dataclasses.replace(case, vertebrae=path), lines


def draw_found(result: CaseResult, path: Path) -> None:
    """Draws where vertebrae were found, as `show` does: so far nobody looked."""
    from vfseg.drawing.understood import draw_understood  # a second, in which it may be refused

    draw_understood(result.case.case_id, result.found.ct, result.found.spine, path)


def _check_whose(path: Path, case: Case) -> None:
    """Refuses points that stand and were found in another CT; of others nothing is known."""
    _, rows = read_table(path, "file of points")
    of = {dict(row.cells).get("ct", "") for row in rows} - {""}
    if of and of != {ct_fingerprint(case.ct)}:
        raise UserError(
            f"{path}: was found in another CT than {case.ct}. Name another --output, or delete it."
        )


def _settle(path: Path, lowest: str) -> None:
    """Calls the names of points that stand certain, or refuses them where they contradict."""
    columns, rows = read_table(path, "file of points")
    cells = [dict(row.cells) for row in rows]
    known = [name for row in cells if (name := row.get("level", "")) in NAMES]
    ends_on = max(known, key=NAMES.index, default="nothing")
    if ends_on != lowest:
        raise UserError(
            f"--lowest {lowest}: {path} stands already and ends on {ends_on}. Delete it, and give "
            "the same command with --overwrite; or correct its names, and leave out --lowest."
        )
    if any(UNCERTAIN in row.get("flags", "") for row in cells):
        sure = [row | {"flags": row["flags"].replace(UNCERTAIN, "").strip()} for row in cells]
        write_table(path, sure, columns)


def write_found(case: Case, lowest: str | None, path: Path) -> list[str]:
    """Finds the vertebrae of a CT and writes those of T4 to L5.

    Args:
        case: whose CT it is.
        lowest: level of the lowest vertebra that is found, where the user knows it.
        path: of the file of points.

    Returns:
        What is to be said of them.

    Raises:
        UserError: nothing is found that can be trusted, or none of T4 to L5.
    """
    # Seconds, in which a CT may already be refused.
    from vfseg.localisation.find import SURE, find_vertebrae
    from vfseg.localisation.heat import coarsened
    from vfseg.localisation.weights import read_weights

    small = coarsened(read_hounsfield(case.ct))  # the CT itself is not kept
    found = find_vertebrae(small, read_weights(), str(case.ct), lowest)
    names = [v.level for v in found.vertebrae]
    uncertain = lowest is None and found.probability < SURE
    below = ", and the sacrum below" if found.sacrum else ""
    number = quantity(len(names), "vertebra", "vertebrae")
    lines = [f"experimental: {number} found, {names[0]} to {names[-1]}{below}"]
    if uncertain:
        others = ", ".join(f"{name} {share:.0%}" for name, share in found.others.items())
        lines.append(
            f"the names are uncertain: the lowest one is {names[-1]} with {found.probability:.0%}"
            f"{f' ({others})' * bool(others)}. Look at the picture; --lowest NAME settles it"
        )
    about = {
        "flags": " ".join([FOUND, *([UNCERTAIN] if uncertain else [])]),
        "ct": ct_fingerprint(case.ct),
    }
    rows = [
        {"level": v.level, **dict(zip("xyz", v.place)), "confidence": v.confidence, **about}
        for v in found.wanted
    ]
    if not rows:
        found_all = f"{names[0]} to {names[-1]}"
        raise UserError(f"{case.ct}: found {found_all}, and none of {LEVELS[0]} to {LEVELS[-1]}.")
    write_table(path, rows, COLUMNS)
    return lines
