"""Any text of a user in a picture: no warning (they are errors here), and no empty boxes."""

import io
import unicodedata

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from vfseg.drawing import lettering
from vfseg.drawing.figures import write_line
from vfseg.drawing.lettering import lettered

JAPANESE = "\u75c7\u4f8b 01 (\u518d\u691c)"
_AT = (0.1, 0.5)


def _pixels(words):
    figure = Figure(figsize=(6, 1), dpi=50)
    write_line(figure, _AT, words, 12, "black")
    file = io.BytesIO()
    figure.savefig(file, format="raw")
    return file.getvalue()


@pytest.fixture
def fonts(monkeypatch):
    """The fonts of the system: none but Matplotlib's own; a test may add some."""
    own = [entry for entry in font_manager.fontManager.ttflist if "mpl-data" in str(entry.fname)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    for function in (lettering._family_with, lettering._letters_of):
        function.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()
    yield own
    for function in (lettering._family_with, lettering._letters_of):
        function.cache_clear()


def _font(path, name, letters):
    """A font file in which each of some letters is a square."""
    builder = FontBuilder(1000)
    glyphs = [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(letter): f"uni{ord(letter):04X}" for letter in letters})
    builder.setupGlyf(dict.fromkeys(glyphs, square))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return font_manager.ttfFontProperty(font_manager.get_font(path))


@pytest.mark.usefixtures("fonts")
def test_without_a_font_each_letter_has_its_code():
    shown, families = lettered(JAPANESE)
    assert shown == r"\u75c7\u4f8b 01 (\u518d\u691c)"
    assert families == ["sans-serif"]
    assert lettered("\u75c7\u4f8b")[0] != lettered("\u518d\u691c")[0]
    assert _pixels(JAPANESE) == _pixels(shown)


def test_a_font_of_the_system_that_has_the_letters_is_taken(fonts, tmp_path):
    """Of two that have some the one that has more, then the other; what none has gets its code."""
    fonts.append(_font(tmp_path / "few.ttf", "Few", "\u518d\u691c"))
    fonts.append(_font(tmp_path / "more.ttf", "More", "\u75c7\u4f8b\u518d"))
    shown, families = lettered(JAPANESE + "\u4e00")
    assert shown == JAPANESE + r"\u4e00"
    assert families == ["sans-serif", "More", "Few"]
    assert _pixels(JAPANESE) != _pixels(r"\u75c7\u4f8b 01 (\u518d\u691c)")


@pytest.mark.parametrize("words", ["case_1 $x$ {} %", "Ärztin Łódź", "Иванов", "α β ≥ °"])
def test_what_the_usual_font_has_is_drawn_as_ever(words):
    assert lettered(words) == (words, ["sans-serif"])


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize(
    "words",
    [
        "two\nlines\tand\x07more\x00",
        "\u3000wide\u00a0spaces",
        "\U0001f9b4 bone \U0001f468\u200d\U0001f469",
        "\udcff not a letter",
        "\u0627\u0644\u0639\u0645\u0648\u062f \u05e2\u05de\u05d5\u05d3",
        "\U0010ffff\ue000\ufeff",
        "".join(chr(code) for code in range(0, 0x3000, 7)),
    ],
    ids=ascii,
)
def test_whatever_a_user_writes_is_one_line_without_a_warning(words):
    shown, _ = lettered(words)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn")]
    _pixels(words)
