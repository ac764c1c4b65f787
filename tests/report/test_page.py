import csv
import json
from urllib.parse import unquote

import pytest

from tests.drawing.html import Page
from tests.report.summary import SUMMARY, measure
from vfseg.drawing.figures import Picture
from vfseg.errors import UserError
from vfseg.evaluation.phrases import LANGUAGES
from vfseg.report.page import write_page
from vfseg.report.results_table import groups_of, levels_of
from vfseg.report.texts import text

NASTY = "a<b>&\"c' #1"


def fill(workdir, summary=SUMMARY, cases=("case-1", NASTY)):
    """A workdir as an evaluation leaves it, and its pictures."""
    pictures = {}
    for case in cases:
        for path in (
            workdir / "predictions" / case / "mask.nii.gz",
            workdir / "report" / case / "a.png",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        caption = {"en": f"Caption of {case}", "ja": f"{case} の説明"}
        pictures[case] = [Picture(workdir / "report" / case / "a.png", caption)]
    (workdir / "evaluation").mkdir(parents=True)
    (workdir / "evaluation" / "summary.json").write_text(json.dumps(summary))
    with open(workdir / "evaluation" / "cases.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "dice", "truth_ml"])
        for case in cases:
            writer.writerow([case, "p<1>", "0.61234", ""])
    lines = [{"step": s, "train/loss": 1 / s, "validation/loss": 2 / s} for s in (10, 20)]
    words = "".join(json.dumps(line) + "\n" for line in lines)
    (workdir / "metrics.jsonl").write_text(words + '{"step": 3')
    return pictures


def test_every_link_leads_somewhere_inside_the_workdir(tmp_path):
    workdir = tmp_path / "runs" / "quick start"
    page_path = write_page(workdir, fill(workdir))
    assert page_path == workdir / "report" / "index.html"
    page = Page(page_path)
    assert any("mask.nii.gz" in link for link in page.links)
    for link in page.links:
        assert "//" not in link
        assert not link.startswith(("/", "data:", "javascript:"))
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            target = (page_path.parent / unquote(link)).resolve()
            assert target.exists(), link
            assert workdir.resolve() in target.parents
    assert page.tags.count("script") == 1  # which switches the language, and stands in the page
    assert page.tags.count("img") == 2 + 1  # a picture a case, one curve: loss


def test_first_come_the_note_and_where_the_truth_is_from(tmp_path):
    words = Page(write_page(tmp_path / "a", fill(tmp_path / "a"))).text
    assert words.index("Research use only") < words.index("The truth is synthetic")
    assert words.index("The truth is synthetic") < words.index("Results")
    real = {**SUMMARY, "synthetic": False}
    words = Page(write_page(tmp_path / "b", fill(tmp_path / "b", real))).text
    assert "Research use only" in words
    assert "synthetic" not in words


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_measure_and_group_is_a_row_of_the_page(tmp_path, language):
    groups = {"T12": {"lesions": 3, "lesion_sensitivity": measure(0.5, 0.25, 0.75)}, "a<b>": {}}
    summary = SUMMARY | {"by_level": groups}
    rows = Page(write_page(tmp_path, fill(tmp_path, summary)), language).rows
    for level in levels_of(summary, language):
        at = rows.index([level.title])
        for row in level.rows:
            assert [row.name, row.value, row.interval, row.patients] in rows[at:]
            assert not row.beside or [row.beside] in rows[at:]
        assert level.rows or rows[at + 1] == [text(language, "not_measured")]
    (group,) = groups_of(summary, language)
    at = rows.index(list(group.header))
    assert rows[at + 1 : at + 3] == [[name, *cells] for name, cells in group.rows]


def test_what_the_figures_say_stands_below_them(tmp_path):
    words = Page(write_page(tmp_path, fill(tmp_path))).text
    below = words[words.index("What the figures say") :]
    for name in ("Dice", "PR-AUC", "Truth, mL"):
        assert name in below
    assert "chance reaches the prevalence" in below
    assert "HD95" not in below  # which this run has not


@pytest.mark.parametrize(("cases", "words"), [(1, "1 case of the"), (8, "8 cases of the")])
def test_numbers_and_nouns_agree(tmp_path, cases, words):
    summary = {**SUMMARY, "cases": cases}
    assert words in Page(write_page(tmp_path, fill(tmp_path, summary))).text


def test_a_summary_that_does_not_say_what_it_is_of(tmp_path):
    page = write_page(tmp_path, fill(tmp_path, {**SUMMARY, "split": None, "cases": None}))
    assert "– cases of the split “–”." in Page(page).text
    assert "対象：「–」の – 例。" in Page(page, "ja").text


def test_cases_outside_the_range_of_training_are_named_with_the_results_and_in_place(tmp_path):
    fill(tmp_path)
    path = tmp_path / "evaluation" / "cases.csv"
    header, one, *others = path.read_text().splitlines()
    marked = [f"{header},outside_training", f"{one},slices 5 mm apart", *(f"{x}," for x in others)]
    path.write_text("\n".join(marked))
    words = Page(write_page(tmp_path, {})).text
    results, cases = words[: words.index("Cases")], words[words.index("Cases") :]
    assert "1 case outside the range of training (case-1: slices 5 mm apart)" in results
    assert cases.count("Outside the range of training (slices 5 mm apart)") == 1


def test_what_users_name_is_escaped(tmp_path):
    page_path = write_page(tmp_path, fill(tmp_path))
    page = Page(page_path)
    assert NASTY in page.texts
    assert f"Caption of {NASTY}" in page.texts
    assert "p<1>" in page.texts
    assert "b" not in page.tags[page.tags.index("section") :]
    assert "0.612" in page.texts
    assert "0.61234" not in page.texts


def test_page_of_predictions_alone(tmp_path):
    folder = tmp_path / "report" / "case-1"
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    page = Page(write_page(tmp_path, {"case-1": [Picture(folder / "a.png", {"en": "The place."})]}))
    assert "There is no reference" in page.text
    assert "Not evaluated" in page.text
    assert "The place." in page.texts
    assert "Training" not in page.texts


def test_a_broken_summary_is_named(tmp_path):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "summary.json").write_text("{")
    with pytest.raises(UserError, match=r"summary\.json: damaged.*--mode evaluate"):
        write_page(tmp_path, {})
    assert not (tmp_path / "report").exists()


def test_the_page_holds_curves_tables_and_lists_of_the_evaluation(tmp_path):
    summary = {
        **SUMMARY,
        "lesion": {"froc": [[0, 0], [1, 0.5]], "sensitivity": measure(0.5)},
        "by_size": {"Q1": {"lesions": 2}},
    }
    pictures = fill(tmp_path, summary)
    (tmp_path / "evaluation" / "lesions.csv").touch()
    page = Page(write_page(tmp_path, pictures))
    assert "curves/froc.svg" in page.links
    assert "../evaluation/lesions.csv" in page.links
    assert "../evaluation/cases.csv" in page.links
    assert "../evaluation/vertebrae.csv" not in page.links
    assert ["Q1", "2"] in page.rows


def test_a_page_made_twice_is_the_same_bits(tmp_path):
    """Its curves, too, which hold neither a date nor names drawn by lot."""
    lesion = {"froc": [[0, 0], [1, 0.5]], "sensitivity": measure(0.5)}
    calibration = {"temperature": {"value": 1.1}, "reliability": [[0.1, 0.05, 10], [0.6, 0.4, 5]]}
    summary = SUMMARY | {"lesion": lesion, "calibration": calibration}
    made = []
    for name in ("first", "second"):
        workdir = tmp_path / name / "run"
        write_page(workdir, fill(workdir, summary))
        report = workdir / "report"
        files = sorted(path for path in report.rglob("*") if path.is_file())
        made.append({path.relative_to(report).as_posix(): path.read_bytes() for path in files})
    assert {"index.html", "curves/froc.svg", "curves/reliability.svg"} < set(made[0])
    assert made[0] == made[1]
