"""What the pages say first: a sentence for each vertebra to be looked at, the level apart."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from vfseg.evaluation.phrases import LANGUAGES, phrase
from vfseg.evaluation.sentences import answer_of, asks, sentences
from vfseg.evaluation.verdict import LIKELY, REVIEW
from vfseg.report.case_lists import CaseLists
from vfseg.report.texts import both

_MARKS = {LIKELY: "likely", REVIEW: "review"}


class SaidFinding(NamedTuple):
    """A sentence of a page.

    Attributes:
        level: of the vertebra; "" where the sentence is of all.
        mark: how it is marked, see `mark_of`.
        words: what follows the level, in every language.
    """

    level: str
    mark: str
    words: Markup


def mark_of(row: Mapping[str, Any]) -> str:
    """Class by which a page marks a vertebra: "likely", "review", or "" where nothing asks."""
    return _MARKS.get(answer_of(row), "")


def said_findings(lists: CaseLists) -> list[SaidFinding]:
    """The sentences of a case, see `sentences`, their verdicts in bold; none without vertebrae."""
    if not lists.vertebrae:
        return []
    said = {language: sentences(lists, language) for language in LANGUAGES}
    asked = [row for row in lists.vertebrae if asks(row)]
    if not asked:
        return [SaidFinding("", "", both({name: lines[0] for name, lines in said.items()}))]
    return [
        SaidFinding(
            row["level"],
            mark_of(row),
            both({name: _marked(row, name, lines[at]) for name, lines in said.items()}),
        )
        for at, row in enumerate(asked)
    ]


def _marked(row: Mapping[str, Any], language: str, sentence: str) -> Markup:
    """A sentence without its level."""
    before, answer, after = sentence.removeprefix(row["level"]).partition(
        phrase(language, answer_of(row))
    )
    return Markup("{}<b>{}</b>{}").format(before, answer, after)
