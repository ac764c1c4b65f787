"""The words of the page of a case in every language at once; the page shows those of one.

Both stand in the page, each in an element with its language, and a style hides the other. So
switching needs no more than one attribute, and a page without script is readable.
"""

import functools
import json
from collections.abc import Mapping
from importlib import resources

from markupsafe import Markup

from vfseg.evaluation.phrases import LANGUAGES, phrase


@functools.cache
def texts() -> dict[str, list[str]]:
    """Key -> the text in each of `LANGUAGES`, from `templates/texts.json`."""
    return _table("texts.json")


@functools.cache
def meanings() -> dict[str, list[str]]:
    """Column of a table -> what it says in each of `LANGUAGES`, from `templates/columns.json`."""
    return _table("columns.json")


def _table(name: str) -> dict[str, list[str]]:
    return json.loads(resources.files(__package__).joinpath("templates", name).read_text("utf-8"))


def said(key: str, **values: str | float) -> Markup:
    """A text of the page, filled with values, in every language.

    >>> said("volume")
    Markup('<span lang="en">Volume, mL</span><span lang="ja">体積 mL</span>')
    """
    return both(
        {language: text.format(**values) for language, text in zip(LANGUAGES, texts()[key])}
    )


def meaning(column: str) -> Markup:
    """What a column of a table says, in every language."""
    return both(dict(zip(LANGUAGES, meanings()[column], strict=True)))


def word(key: str | None) -> Markup:
    """A word of the lists in every language; nothing where there is none."""
    return both({language: phrase(language, key) for language in LANGUAGES}) if key else Markup("")


def both(words: Mapping[str, str]) -> Markup:
    """Words by language, each in an element of its own; once where they are the same. Escaped.

    >>> both({"en": "<T12>", "ja": "<T12>"})
    Markup('&lt;T12&gt;')
    """
    if len(set(words.values())) == 1:
        return Markup.escape(next(iter(words.values())))
    spans = (
        Markup('<span lang="{}">{}</span>').format(language, text)
        for language, text in words.items()
    )
    return Markup("").join(spans)
