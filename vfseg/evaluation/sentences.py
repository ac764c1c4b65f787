"""What is said of a predicted spine: a sentence for each vertebra to be looked at, then one table.

L1: fracture likely (0.93). Height loss 39 % (middle), Genant 2, range 2-3; map 0.65 mL at the
upper endplate.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vfseg.data.points import UNCERTAIN
from vfseg.evaluation.findings import LISTED_ML
from vfseg.evaluation.heights import SITES
from vfseg.evaluation.phrases import phrase
from vfseg.evaluation.verdict import LIKELY, NO_SIGN, REVIEW

Rows = Sequence[Mapping[str, Any]]

_HEADER = ("level", "verdict", "probability", "Genant", "loss", "map mL", "why", "flags")


class Listed(Protocol):
    """The lists of a case: `Findings`, or what was read from its files."""

    @property
    def vertebrae(self) -> Rows:
        """Rows of `vertebrae.csv` with `map_ml` and `specks_ml`, cranial to caudal."""

    @property
    def lesions(self) -> Rows:
        """Rows of `lesions.csv`."""


def sentences(found: Listed, language: str = "en") -> list[str]:
    """A line for each vertebra whose verdict asks for a look, cranial to caudal.

    Where the model has no rule for verdicts, a suspected vertebra, and one whose heights suggest a
    grade, asks for a review.

    Args:
        found: the lists of the case.
        language: one of `phrases.LANGUAGES`.
    """
    asked = [row for row in found.vertebrae if asks(row)]
    number = len(found.vertebrae)
    if not asked:
        key = "one vertebra, no sign" if number == 1 else "no vertebra asks"
        return [phrase(language, key, count=number)]
    return [_sentence(row, found.lesions, language) for row in asked]


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


def asks(row: Mapping[str, Any]) -> bool:
    """Whether a vertebra is to be looked at."""
    return answer_of(row) in (LIKELY, REVIEW)


def _sentence(row: Mapping[str, Any], lesions: Rows, language: str) -> str:
    known, level = row["probability"], row["level"]
    if UNCERTAIN in row["flags"].split():
        level = phrase(language, "name uncertain", level=level)
    return phrase(
        language,
        "sentence",
        level=level,
        answer=phrase(language, answer_of(row)),
        probability=""
        if known is None
        else phrase(language, "probability of it", probability=known),
        heights=_heights(row, language),
        map=_map(row, lesions, language),
    )


def _heights(row: Mapping[str, Any], language: str) -> str:
    if row["genant"] is None:
        why = phrase(language, row["heights_missing"] or "")
        return phrase(language, "heights not measured", why=why)
    site, loss = _worst(row)
    if round(100 * loss) <= 0:
        return phrase(language, "no loss")
    return phrase(
        language,
        "loss" if row["genant_high"] else "small loss",
        loss=100 * loss,
        site=phrase(language, site),
        grade=row["genant"],
        low=row["genant_low"],
        high=row["genant_high"],
    )


def _worst(row: Mapping[str, Any]) -> tuple[str, float]:
    losses = {site: row[f"loss_{site}"] for site in SITES if row[f"loss_{site}"] is not None}
    site = max(losses, key=lambda name: losses[name])
    return site, losses[site]


def _map(row: Mapping[str, Any], lesions: Rows, language: str) -> str:
    own = [lesion for lesion in lesions if lesion["level"] == row["level"]]
    if not own:
        few = row["specks_ml"] < 0.005
        specks = "" if few else phrase(language, "specks", volume=row["specks_ml"])
        return phrase(language, "no lesion", least=LISTED_ML, specks=specks)
    place = _place(max(own, key=lambda lesion: lesion["volume_ml"]), language)
    more = phrase(language, "more", count=len(own) - 1) if len(own) > 1 else ""
    return phrase(language, "lesions", volume=row["map_ml"], place=place, more=more)


def _place(lesion: Mapping[str, Any], language: str) -> str:
    if lesion["depth"] is None:
        return ""
    if lesion["depth"] == "arch":
        return phrase(language, "in the arch", side=phrase(language, lesion["side"]))
    if lesion["height"] == "middle":
        return phrase(language, "in the middle")
    return phrase(language, "at an endplate", height=phrase(language, lesion["height"]))


def loss_of(row: Mapping[str, Any]) -> float | None:
    """Largest loss of height of a vertebra, a fraction; None where it is not measured."""
    return None if row["genant"] is None else _worst(row)[1]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    loss, genant = "", ""
    if row["genant"] is not None:
        loss = f"{round(100 * _worst(row)[1])} %"
        genant = f"{row['genant']} ({row['genant_low']}-{row['genant_high']})"
    probability = "" if row["probability"] is None else f"{row['probability']:.2f}"
    cells = (row["level"], answer_of(row), probability, genant, loss, f"{row['map_ml']:.2f}")
    return *cells, row["why"] or "", row["flags"]
