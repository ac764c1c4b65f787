"""Fonts for what users write: names of cases may be in any script.

Matplotlib's own font has Latin, Greek, Cyrillic and more, and a box with a warning for the rest.
"""

import functools
import unicodedata

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

_REGULAR = [("normal", weight) for weight in (400, "normal", "regular", "book")]


def lettered(words: str) -> tuple[str, list[str]]:
    r"""A text that can be drawn, and the font families that draw it, the usual one first.

    What the usual font lacks is taken from fonts of the system. What none of them has, and what is
    no letter, becomes its code in ASCII: other letters have others, so names stay apart.

    Args:
        words: of a user, one line.

    >>> lettered("case 1")
    ('case 1', ['sans-serif'])
    >>> lettered("a\nb")[0]
    'a\\nb'
    """
    words = "".join(" " if unicodedata.category(c) == "Zs" else c for c in words)
    usual = list(matplotlib.rcParams["font.family"])
    drawn = _letters_of(usual[0])
    families: list[str] = []
    wanted = {ord(letter) for letter in words if letter.isprintable()}
    while lacking := frozenset(wanted - drawn):
        family = _family_with(lacking)
        if not family:
            break
        families.append(family)
        drawn |= _letters_of(family)
    known = wanted & drawn
    return "".join(c if ord(c) in known else _in_ascii(c) for c in words), [*usual, *families]


def _in_ascii(letter: str) -> str:
    r"""Its code, as Python writes it.

    >>> _in_ascii("\u75c7")
    '\\u75c7'
    """
    return letter.encode("unicode_escape").decode()


@functools.lru_cache(maxsize=64)
def _family_with(codes: frozenset[int]) -> str:
    """The font family of the system that has most of some letters, the first by name; or ""."""
    # Of others Matplotlib would log that it found no regular one.
    fonts = font_manager.fontManager.ttflist
    names = {font.name for font in fonts if (font.style, font.weight) in _REGULAR}
    most = max(sorted(names), key=lambda name: len(codes & _letters_of(name)), default="")
    return most if codes & _letters_of(most) else ""


@functools.lru_cache(maxsize=4)  # fonts of East Asia have tens of thousands
def _letters_of(family: str) -> frozenset[int]:
    """Codes that a font family has an outline for; none where it cannot be used."""
    try:
        wanted = font_manager.FontProperties(family=[family])  # alone it would be a pattern
        font: FT2Font = font_manager.get_font(
            font_manager.findfont(wanted, fallback_to_default=False)
        )
        if not font.scalable or "last resort" in family.lower():  # boxes, one for each script
            return frozenset()
        return frozenset(code for code, glyph in font.get_charmap().items() if glyph)
    except (OSError, RuntimeError, ValueError):  # deleted, damaged, or of a kind it cannot read
        return frozenset()
