"""The page of a run is all there for readers of either language."""

import json
import re
import shutil

import pytest

from tests.drawing.html import Page
from tests.evaluation.scene import THRESHOLDS, cohort
from tests.report.test_page import fill
from vfseg.data.schemes import LEVELS
from vfseg.drawing.figures import Picture
from vfseg.evaluation.phrases import LANGUAGES
from vfseg.evaluation.summary import judged, summarise, write_evaluation
from vfseg.report.captions import caption_of, place_caption
from vfseg.report.foci import Focus
from vfseg.report.meanings import name_of
from vfseg.report.page import write_page
from vfseg.report.texts import measures
from vfseg.training.settings import SUPERVISED

JAPANESE = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]")
LATIN = re.compile(r"[A-Za-z]")
SAME = {name_of(key) for key in measures() if name_of(key) == name_of(key, "ja")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A workdir of every measure, table, list, file and kind of caption; its case ids."""
    workdir = tmp_path_factory.mktemp("both") / "run-7"
    scores = judged(cohort(1, 0.9), THRESHOLDS)
    names = [score.case.case_id for score in scores.scores]
    fill(workdir, cases=names)
    shutil.rmtree(workdir / "evaluation")
    write_evaluation(
        workdir / "evaluation",
        summarise(scores, split="test", synthetic=True, seed=0)
        | {"by_pattern": {of: {"lesions": 1} for of in ("endplate", "split", "unknown")}}
        | {"by_size": {"Q1: 0.5 to 1.5 mL": {"lesions": 2}}},
        scores,
    )
    cases = workdir / "evaluation" / "cases.csv"
    header, first, *others = cases.read_text().splitlines()
    assert header.endswith(",outside_training")
    cases.write_text("\n".join([header, f"{first}slices 5 mm apart", *others]))
    folder = workdir / "report" / names[0]
    for name in ("spine.glb", "spine-bone.stl", "spine-fracture.stl", "spine-truth.stl"):
        (folder / name).touch()
    logged = ["loss", "gradient_norm", "learning_rate", *(f"{loss}_loss" for loss in SUPERVISED)]
    lines = [{"step": step, **{f"train/{name}": step for name in logged}} for step in (1, 2)]
    metrics = "".join(json.dumps(line) + "\n" for line in lines)
    (workdir / "metrics.jsonl").write_text(metrics)
    captions = [
        caption_of("midline"),
        caption_of("solid"),
        caption_of("solid_nothing", threshold=0.5),
    ]
    captions += [
        place_caption(Focus((1, 2, 3), found, 0.4, volume), level, ("axial", "k", 7), 0.5)
        for found, volume in (("truth", 1.5), ("prediction", None), ("maximum", None))
        for level in ("L1", "")
    ]
    pictures = [Picture(folder / "a.png", caption) for caption in captions]
    return write_page(workdir, {names[0]: pictures}), names


def patients(page):
    return {row.split(",")[1] for row in (page / "cases.csv").read_text().splitlines()[1:]}


def is_name(words, page, cases):
    """Whether a text is the same in every language: a name, or a measure that is called so."""
    known = {*SAME, *LEVELS, *cases, *patients(page.parents[1] / "evaluation"), "run-7"}
    return words in known or not LATIN.search(words)


def test_every_text_has_a_language_but_names_and_numbers(run):
    page, cases = run
    for words in Page(page).unmarked:
        assert not JAPANESE.search(words)
        assert is_name(words, page, cases), words


def test_a_reader_of_japanese_finds_no_english_and_the_other_way_round(run):
    page, cases = run
    shown = {language: Page(page, language) for language in LANGUAGES}
    for words in map(str.strip, shown["ja"].texts):
        assert (
            JAPANESE.search(words)
            or is_name(words, page, cases)
            or words in ("English", "vfseg: run-7")
        ), words
    assert [words for words in shown["en"].texts if JAPANESE.search(words)] == ["日本語"]
    assert len(shown["en"].rows) == len(shown["ja"].rows)


def test_both_readers_find_the_same_figures(run):
    page, _ = run
    english, japanese = (Page(page, language) for language in LANGUAGES)
    for one, other in zip(english.rows, japanese.rows, strict=True):
        figures = [re.findall(r"\d+\.\d+", " ".join(row)) for row in (one, other)]
        assert sorted(figures[0]) == sorted(figures[1])
    assert "スライス間隔 5 mm" in japanese.text
    assert "5 mm apart" in english.text
