"""What is said of a predicted spine: a sentence for each vertebra to be looked at, then one table.

L1: fracture likely (0.93). Height loss 39 % (middle), Genant 2, range 2-3; map 0.65 mL at the
upper endplate.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vfseg.evaluation.findings import LISTED_ML, Findings
from vfseg.evaluation.heights import SITES
from vfseg.evaluation.verdict import LIKELY, NO_SIGN, REVIEW

Rows = Sequence[Mapping[str, Any]]

_HEADER = ("level", "verdict", "probability", "Genant", "loss", "map mL", "why", "flags")


def sentences(found: Findings) -> list[str]:
    """A line for each vertebra whose verdict asks for a look, cranial to caudal.

    Where the model has no rule for verdicts, a suspected vertebra, and one whose heights suggest a
    grade, asks for a review.

    Args:
        found: the lists of the case.
    """
    asked = [row for row in found.vertebrae if answer_of(row) in (LIKELY, REVIEW)]
    said = [_sentence(row, found.lesions) for row in asked]
    number = len(found.vertebrae)
    if not said:
        return [f"No sign of a fracture in {number} {'vertebra' if number == 1 else 'vertebrae'}."]
    return said


def table(vertebrae: Rows) -> list[str]:
    """Lines of the table of all vertebrae, the first one its header.

    Args:
        vertebrae: rows of `vertebrae.csv`.
    """
    rows = [_HEADER, *(_cells(row) for row in vertebrae)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def answer_of(row: Mapping[str, Any]) -> str:
    """The verdict on a vertebra; where there is none, what its map and its heights ask for."""
    if row["verdict"]:
        return str(row["verdict"])
    return REVIEW if row["suspected"] or row["genant"] else NO_SIGN


def _sentence(row: Mapping[str, Any], lesions: Rows) -> str:
    probability = "" if row["probability"] is None else f" ({row['probability']:.2f})"
    said = f"{_heights(row)}; {_map(row, lesions)}"
    return f"{row['level']}: {answer_of(row)}{probability}. {said[0].upper()}{said[1:]}."


def _heights(row: Mapping[str, Any]) -> str:
    if row["genant"] is None:
        return f"heights not measured ({row['heights_missing']})"
    site, loss = _worst(row)
    if not row["genant_high"]:
        return "no loss of height"
    return (
        f"height loss {100 * loss:.0f} % ({site}), Genant {row['genant']}, "
        f"range {row['genant_low']}-{row['genant_high']}"
    )


def _worst(row: Mapping[str, Any]) -> tuple[str, float]:
    losses = {site: row[f"loss_{site}"] for site in SITES if row[f"loss_{site}"] is not None}
    site = max(losses, key=lambda name: losses[name])
    return site, losses[site]


def _map(row: Mapping[str, Any], lesions: Rows) -> str:
    own = [lesion for lesion in lesions if lesion["level"] == row["level"]]
    if not own:
        specks = f", specks of {row['specks_ml']:.2f} mL" if row["specks_ml"] >= 0.005 else ""
        return f"map: no lesion of {LISTED_ML:g} mL{specks}"
    largest = max(own, key=lambda lesion: lesion["volume_ml"])
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    return f"map {row['map_ml']:.2f} mL{_place(largest)}{more}"


def _place(lesion: Mapping[str, Any]) -> str:
    if lesion["depth"] is None:
        return ""
    if lesion["depth"] == "arch":
        return f" in the arch, {lesion['side']}"
    if lesion["height"] == "middle":
        return " in the middle of the body"
    return f" at the {lesion['height']}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    loss, genant = "", ""
    if row["genant"] is not None:
        loss = f"{100 * _worst(row)[1]:.0f} %"
        genant = f"{row['genant']} ({row['genant_low']}-{row['genant_high']})"
    probability = "" if row["probability"] is None else f"{row['probability']:.2f}"
    cells = (row["level"], answer_of(row), probability, genant, loss, f"{row['map_ml']:.2f}")
    return *cells, row["why"] or "", row["flags"]
