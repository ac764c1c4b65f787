"""The words of the page: each in both languages, none forgotten, none too many."""

import re
import string
from pathlib import Path

import pytest

import vfseg.report
from vfseg.evaluation.phrases import PHRASES, phrase
from vfseg.report.texts import meanings, texts

FOLDER = Path(vfseg.report.__file__).parent
CODE = "".join(
    (FOLDER / name).read_text()
    for name in (
        *(f"templates/{page}.html.j2" for page in ("case", "cases", "pick")),
        *("case_page.py", "picker.py"),
    )
)


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("table", [texts(), meanings(), PHRASES])
def test_both_languages_name_the_same_values(table):
    for key, (english, japanese) in table.items():
        assert english
        assert japanese
        assert placeholders(english) == placeholders(japanese), key


def test_every_text_is_used_and_every_used_text_is_there():
    assert set(meanings()) <= set(texts())
    used = set(re.findall(r'said\("(\w+)"', CODE)) | set(re.findall(r'"(\w+)"', CODE))
    assert set(re.findall(r'said\("(\w+)"', CODE)) <= set(texts())
    built = {f"height_{site}" for site in ("anterior", "middle", "posterior")}
    assert set(texts()) - used - built == set()


def test_the_japanese_of_the_field_is_used():
    assert texts()["title"][1] == "椎体骨折"
    assert texts()["probability"][1] == "骨折確率"
    assert texts()["height_anterior"][1].startswith("前縁高")
    assert phrase("ja", "upper endplate") == "上位終板"
