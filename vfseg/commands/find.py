"""Mode `find`: the vertebrae of a CT from the CT alone, as a file of points to be looked at."""

from shlex import quote

from vfseg.commands.request import Request, size_of
from vfseg.data.discovery import case_of_ct
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.levels import LEVELS
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError, quantity
from vfseg.files import write_table

COLUMNS = ("level", "x", "y", "z", "confidence")
"""Columns of the file: those of `--points`, and how sure each place is."""


def find(request: Request) -> None:
    """Writes the points of one CT, and says how far their names are to be trusted.

    Raises:
        UserError: whatever is wrong with the CT; the file stands already, is not named as one, or
            cannot be written; nothing is found that can be trusted; an unknown lowest level.
    """
    path = request.new_file(".csv", "a file of points")
    from vfseg.localisation.find import SURE, find_vertebrae  # seconds, in which it may be refused
    from vfseg.localisation.levels import NAMES
    from vfseg.localisation.weights import read_weights

    lowest = request.lowest
    if lowest is not None and lowest not in NAMES[:-1]:
        raise UserError(f"--lowest {lowest}: no vertebra. Name one of {NAMES[0]} to {NAMES[-2]}.")
    case = case_of_ct(request.input)
    print(f"{case.ct}: {size_of(read_geometry(case.ct))}", flush=True)
    found = find_vertebrae(read_hounsfield(case.ct), read_weights(), str(case.ct), lowest)
    names = [v.level for v in found.vertebrae]
    below = ", and the sacrum below" if found.sacrum else ""
    print(
        f"experimental: {quantity(len(names), 'vertebra', 'vertebrae')} found, {names[0]} to "
        f"{names[-1]}{below}"
    )
    if lowest is None and found.probability < SURE:
        others = ", ".join(f"{name} {share:.0%}" for name, share in found.others.items())
        print(
            f"the names are uncertain: the lowest one is {names[-1]} with {found.probability:.0%}"
            f"{f' ({others})' * bool(others)}. Look at the picture; --lowest NAME settles it"
        )
    rows = [
        {"level": v.level, **dict(zip("xyz", v.place)), "confidence": v.confidence}
        for v in found.wanted
    ]
    if not rows:
        raise UserError(f"{case.ct}: none of {LEVELS[0]} to {LEVELS[-1]} is among them.")
    write_table(path, rows, COLUMNS)
    ct, points, picture = (quote(str(p)) for p in (case.ct, path, path.with_suffix(".png")))
    print(f"written: {path}. Look at it before it is used:")
    print(f"  vfseg show {ct} --points {points} -o {picture}")
    print(f"  vfseg predict {ct} --points {points} -o out")
