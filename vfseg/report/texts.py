"""The words of the page of a case in every language at once; the page shows those of one.

Both stand in the page, each in an element with its language, and a style hides the other. So
switching needs no more than one attribute, and a page without script is readable.
"""

import functools
import json
from collections.abc import Callable
from importlib import resources

from markupsafe import Markup

from vfseg.evaluation.phrases import LANGUAGES, phrase


@functools.cache
def texts() -> dict[str, list[str]]:
    """Key -> the text in each of `LANGUAGES`, from `texts.json`."""
    return json.loads(resources.files(__package__).joinpath("texts.json").read_text("utf-8"))


def said(key: str, **values: str | float) -> Markup:
    """A text of the page, filled with values, in every language.

    >>> said("genant")  # doctest: +ELLIPSIS
    Markup('<span lang="en">Genant grade (range)</span><span lang="ja">Genant 分類（範囲）</span>')
    """
    return in_every(lambda language: texts()[key][LANGUAGES.index(language)].format(**values))


def word(key: str | None) -> Markup:
    """A word of the lists in every language; nothing where there is none."""
    return in_every(lambda language: phrase(language, key)) if key else Markup("")


def in_every(text: Callable[[str], str]) -> Markup:
    """What a function says in a language, for each of them; once where it is the same.

    >>> in_every(lambda language: "<T12>")
    Markup('&lt;T12&gt;')
    """
    found = {language: text(language) for language in LANGUAGES}
    if len(set(found.values())) == 1:
        return Markup.escape(found[LANGUAGES[0]])
    spans = (
        Markup('<span lang="{}">{}</span>').format(language, words)
        for language, words in found.items()
    )
    return Markup("").join(spans)
