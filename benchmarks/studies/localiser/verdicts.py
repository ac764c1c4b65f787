"""Whether a prediction says the same of vertebrae that were found as of those that are labelled."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from vfseg.commands.case_result import predict_maps
from vfseg.data.cases import Case
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.schemes import LEVELS
from vfseg.data.settings import SpineReading
from vfseg.data.volume import read_geometry, read_labels
from vfseg.errors import UserError
from vfseg.evaluation.sentences import answer_of
from vfseg.files import write_table
from vfseg.inference.model import Model
from vfseg.localisation.find import find_vertebrae
from vfseg.localisation.heat import coarsened
from vfseg.localisation.labelled import body_points
from vfseg.segmentation.outlines import write_outlines

WAYS = ("found", "points", "outlines", "masks")
"""How the vertebrae are named: found and outlined; the middles of their labelled bodies; outlines
around these; their label map."""


def verdicts(
    case: Case, model: Model, params: Any, outlining: Any, folder: Path
) -> dict[str, dict[str, str]]:
    """Verdicts on a case, way of `WAYS` -> level -> verdict; none where nothing was found.

    Bodies that the border of the CT cuts are left out: nobody points at their middle.

    Args:
        case: with a label map.
        model: that predicts it.
        params: of the localiser.
        outlining: parameters of the segmenter.
        folder: gets points and maps of each way.
    """
    if case.vertebrae is None:
        raise UserError(f"{case.case_id}: has no label map, with which to compare. Name one.")
    places, _ = body_points(read_labels(case.vertebrae), case.case_id)
    affine = read_geometry(case.ct).affine
    true = {level: apply_affine(affine, at) for level, at in places.items() if level in LEVELS}
    try:
        found = find_vertebrae(coarsened(read_hounsfield(case.ct)), params, case.case_id).points
    except UserError as error:
        print(error)
        found = {}
    points = dataclasses.replace(
        case, vertebrae=None, points=write_points(true, folder / "points.csv")
    )
    named = {"points": points, "masks": case, "outlines": _outlined(points, outlining)}
    said: dict[str, dict[str, str]] = {}
    if found:
        path = write_points(found, folder / "found.csv")
        named["found"] = _outlined(dataclasses.replace(points, points=path), outlining)
    else:
        said["found"] = {}
    for way in WAYS:
        if way not in said:
            (folder / way).mkdir(exist_ok=True)
            result = predict_maps(named[way], model, SpineReading(), folder / way)
            rows = [row for row in result.listed.vertebrae if row["level"] in true]
            said[way] = {row["level"]: answer_of(row) for row in rows}
    return said


def same(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[int, int]:
    """How many vertebrae of `other` have the same verdict in `one`, and how many there are.

    >>> same({"L1": "review", "L2": "no sign"}, {"L1": "no sign", "L2": "no sign", "L3": "review"})
    (1, 3)
    """
    return sum(one.get(level) == verdict for level, verdict in other.items()), len(other)


def report(cases: Iterable[tuple[str, Mapping[str, Mapping[str, str]]]]) -> Sequence[str]:
    """Lines: for each case and for all, how often the verdict is the same.

    Args:
        cases: name and verdicts, as in `verdicts`.
    """
    pairs = tuple((way, "masks") for way in WAYS[:-1])
    lines, total = [], Counter[tuple[tuple[str, str], int]]()
    for name, said in cases:
        counts = {pair: same(said[pair[0]], said[pair[1]]) for pair in pairs}
        for pair, both in counts.items():
            total.update({(pair, k): n for k, n in enumerate(both)})
        lines.append(_line(name, counts))
    lines.append(_line("all", {pair: (total[pair, 0], total[pair, 1]) for pair in pairs}))
    return lines


def _line(name: str, counts: Mapping[tuple[str, str], tuple[int, int]]) -> str:
    cells = (f"{one} as {other} {k}/{n}" for (one, other), (k, n) in counts.items())
    return f"{name}: {', '.join(cells)}"


def _outlined(case: Case, params: Any) -> Case:
    """A case with points and the outlines around them, as `predict` makes them of found ones."""
    assert case.points is not None
    path = case.points.with_suffix(".nii.gz")
    seen, _ = write_outlines(case.ct, case.points, path, params)
    return dataclasses.replace(case, vertebrae=path if seen else None)


def write_points(points: Mapping[str, np.ndarray], path: Path) -> Path:
    """Writes a file of points, level -> [3] mm in RAS+; returns its path."""
    rows = [{"level": level, **dict(zip("xyz", place.tolist()))} for level, place in points.items()]
    write_table(path, rows, ("level", "x", "y", "z"))
    return path
