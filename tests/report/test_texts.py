"""The words of the page: each in both languages, none forgotten, none too many."""

import re
import string
from pathlib import Path
from typing import NamedTuple

import pytest

import vfseg.report
from vfseg.evaluation.phrases import PHRASES, listed_words, phrase
from vfseg.report.meanings import name_of
from vfseg.report.texts import in_every_language, meanings, measures, texts

FOLDER = Path(vfseg.report.__file__).parent
CODE = "".join(
    (FOLDER / name).read_text()
    for name in (
        *(f"templates/{page}.html.j2" for page in ("case", "cases", "pick", "report")),
        *(path.name for path in sorted(FOLDER.glob("*.py"))),
    )
)


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


NAMES, SAID = (
    {key: words[part] for key, words in measures().items() if part in words}
    for part in ("name", "meaning")
)


@pytest.mark.parametrize("table", [texts(), meanings(), NAMES, SAID, PHRASES])
def test_both_languages_name_the_same_values(table):
    for key, (english, japanese) in table.items():
        assert english
        assert japanese
        assert placeholders(english) == placeholders(japanese), key


def test_every_text_is_used_and_every_used_text_is_there():
    assert set(meanings()) <= set(texts())
    used = set(re.findall(r'said\("(\w+)"', CODE)) | set(re.findall(r'"(\w+)"', CODE))
    assert set(re.findall(r'said\("(\w+)"', CODE)) <= set(texts())
    built = tuple(f"{start}_" for start in re.findall(r'f"([a-z_]+)_\{', CODE))
    assert {"height_", "level_", "one_", "many_"} <= set(built)
    unused = [key for key in set(texts()) - used if not key.startswith(built)]
    assert unused == []


def test_the_japanese_of_the_field_is_used():
    assert texts()["title"][1] == "椎体骨折"
    assert texts()["probability"][1] == "骨折確率"
    assert texts()["height_anterior"][1].startswith("前縁高")
    assert phrase("ja", "upper endplate") == "上位終板"
    assert [name_of(key, "ja") for key in ("dice", "recall", "sensitivity", "specificity")] == (
        ["Dice 係数", "再現率", "感度", "特異度"]
    )
    assert texts()["interval"][1] == "95 % 信頼区間"


def test_words_with_numbers_keep_them():
    for words, japanese in (
        ("Q1: 0.19 to 0.71 mL", "Q1：0.19～0.71 mL"),
        ("slices 5 mm apart", "スライス間隔 5 mm"),
        ("burst", "破裂骨折"),
        ("#7 of 3", "#7 of 3"),
        ("sentence", "sentence"),  # a user's word that is the key of a phrase
    ):
        assert listed_words("en", words) == words
        assert listed_words("ja", words) == japanese


def test_what_is_made_in_one_language_is_put_together_in_all():
    class Row(NamedTuple):
        name: str
        figure: float
        words: tuple

    rows = {"en": Row("T12", 0.5, ("<a>", "")), "ja": Row("T12", 0.5, ("<b>", ""))}
    made = in_every_language(rows.__getitem__)
    both = '<span lang="en">&lt;a&gt;</span><span lang="ja">&lt;b&gt;</span>'
    assert made == Row("T12", 0.5, (both, ""))
    with pytest.raises(ValueError, match="zip"):  # a row too few in a language
        in_every_language({"en": ("a", "b"), "ja": ("a",)}.__getitem__)
