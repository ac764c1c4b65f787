"""The words of the report's pages in every language at once; a page shows those of one.

Both stand in the page, each in an element with its language, and a style hides the other. So
switching needs no more than one attribute, and a page without script is readable.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any

from markupsafe import Markup

from vfseg.evaluation.phrases import LANGUAGES, listed_words


@functools.cache
def texts() -> dict[str, list[str]]:
    """Key -> the text in each of `LANGUAGES`, from `templates/texts.json`."""
    return _table("texts.json")


@functools.cache
def meanings() -> dict[str, list[str]]:
    """Column of a table -> what it says in each of `LANGUAGES`, from `templates/columns.json`."""
    return _table("columns.json")


@functools.cache
def measures() -> dict[str, dict[str, list[str]]]:
    """Measure -> its "name" and, but for training curves, its "meaning" in each of `LANGUAGES`."""
    return _table("measures.json")


def _table(name: str) -> dict[str, Any]:
    return json.loads(resources.files(__package__).joinpath("templates", name).read_text("utf-8"))


def text(language: str, key: str, **values: str | float) -> str:
    """A text of a page in one language, filled with values.

    >>> text("ja", "volume")
    '体積 mL'
    """
    return texts()[key][LANGUAGES.index(language)].format(**values)


def counted(language: str, count: int, noun: str) -> str:
    """A number and what it counts: the texts `one_NOUN` and `many_NOUN`.

    >>> counted("en", 1, "case"), counted("en", 2, "case"), counted("ja", 2, "case")
    ('1 case', '2 cases', '2 例')
    """
    return text(language, f"one_{noun}" if count == 1 else f"many_{noun}", count=count)


def said(key: str, **values: str | float) -> Markup:
    """A text of the page, filled with values, in every language.

    >>> said("volume")
    Markup('<span lang="en">Volume, mL</span><span lang="ja">体積 mL</span>')
    """
    return both(by_language(lambda language: text(language, key, **values)))


def said_listed(key: str, **words: str) -> Markup:
    """A text of the page, filled with words of the lists, in every language.

    >>> str(said_listed("outside", what="slices 5 mm apart")).count("スライス間隔 5 mm")
    1
    """
    return both(
        by_language(
            lambda language: text(
                language, key, **{name: listed_words(language, of) for name, of in words.items()}
            )
        )
    )


def meaning(column: str) -> Markup:
    """What a column of a table says, in every language."""
    return both(dict(zip(LANGUAGES, meanings()[column], strict=True)))


def word(key: str | None) -> Markup:
    """A word of the lists in every language; nothing where there is none."""
    return both(by_language(lambda language: listed_words(language, key))) if key else Markup("")


def listing(keys: Iterable[str]) -> Markup:
    """Words of the lists one after another, in every language.

    >>> listing(["left", "central"])
    Markup('<span lang="en">left, central</span><span lang="ja">左、正中</span>')
    """
    keys = tuple(keys)
    return both(
        by_language(
            lambda language: text(language, "comma").join(
                listed_words(language, key) for key in keys
            )
        )
    )


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


def by_language(say: Callable[[str], str]) -> dict[str, str]:
    """What is said in each of `LANGUAGES`."""
    return {language: say(language) for language in LANGUAGES}


def in_every_language(make: Callable[[str], Any]) -> Any:
    """What is made of texts in one language, its texts put together by `both`.

    Args:
        make: language -> a text, or tuples of texts to any depth. Only texts differ from language
            to language; what is neither text nor tuple is taken from the first.

    >>> in_every_language(lambda language: ("T12", (text(language, "volume"), 3)))[1][0]
    Markup('<span lang="en">Volume, mL</span><span lang="ja">体積 mL</span>')
    """
    return _together([make(language) for language in LANGUAGES])


def _together(made: list[Any]) -> Any:
    first = made[0]
    if isinstance(first, str):
        return both(dict(zip(LANGUAGES, made, strict=True)))
    if not isinstance(first, tuple):
        return first
    parts = [_together(list(same)) for same in zip(*made, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
