"""The page of a folder of predicted CTs."""

import re

from tests.report.listed import make_lists
from vfseg.evaluation.sentences import sentences
from vfseg.evaluation.verdict import REVIEW
from vfseg.files import write_table
from vfseg.report.case_lists import CaseLists
from vfseg.report.cases_page import write_cases_page


def write_results(folder, lists, trained_on="synthetic", **more):
    folder.mkdir(parents=True)
    (folder / "page.html").touch()
    rows = [row | {"trained_on": trained_on} | more for row in lists.vertebrae]
    write_table(folder / "vertebrae.csv", rows)
    write_table(folder / "lesions.csv", lists.lesions, ("case_id", "volume_ml"))


def healthy():
    lists = make_lists()
    return CaseLists(lists.vertebrae[1:], [])


def likely(probability):
    lists = make_lists()
    return lists._replace(vertebrae=[lists.vertebrae[0] | {"probability": probability}])


def text_of(page, language):
    """What a reader of a language sees."""
    other = {"en": "ja", "ja": "en"}[language]
    page = re.sub(rf'<span lang="{other}">.*?</span>', "", page, flags=re.S)
    return re.sub(r"<[^>]+>", "", page)


def names_on(page):
    return re.findall(r'<a href="[^"]*">([^<]*)</a>', page)


def test_cases_that_ask_for_a_look_come_first_the_surest_at_the_top(tmp_path):
    found = {"a": healthy(), "b": likely(0.7), "c": likely(0.9), "d": healthy()}
    for name, lists in found.items():
        write_results(tmp_path / name, lists)
    page = write_cases_page(tmp_path, list(found)).read_text()
    assert names_on(page) == ["c", "b", "a", "d"]
    assert re.findall(r'href="([^"]*)"', page) == [f"{name}/page.html" for name in "cbad"]
    assert "2 of 4 CTs ask for a look" in page
    for lists in found.values():
        for language in ("en", "ja"):
            assert all(line in text_of(page, language) for line in sentences(lists, language))


def test_a_case_is_marked_as_the_surest_verdict_in_it(tmp_path):
    likely_one = likely(0.9).vertebrae[0]
    review = likely_one | {"level": "L3", "verdict": REVIEW, "probability": 0.4}
    found = {
        "a": CaseLists([review], []),
        "b": CaseLists([review, likely_one], []),
        "c": healthy(),
    }
    for name, lists in found.items():
        write_results(tmp_path / name, lists)
    page = write_cases_page(tmp_path, list(found)).read_text().split("<tbody>")[1]
    rows = re.findall(r'<tr(?: class="(\w*)")?>\s*<th scope="row"><a[^>]*>(\w)', page)
    assert rows == [("likely", "b"), ("review", "a"), ("", "c")]
    lines = re.findall(r'<p class="sentence (\w*)"><strong>(\w*)', page)
    assert lines == [("review", "L3"), ("likely", "L1"), ("review", "L3"), ("", "")]


def test_it_says_what_the_results_must_be_read_with(tmp_path):
    write_results(tmp_path / "a", healthy(), outside_training="slices 5 mm apart")
    page = write_cases_page(tmp_path, ["a"]).read_text()
    assert "Research use only" in page
    assert "The model was trained on synthetic fractures." in page
    assert "Outside the range of training: slices 5 mm apart." in page
    assert "The program found the vertebrae" not in page
    looked_for = healthy()
    for row in looked_for.vertebrae:
        row["flags"] = "found uncertain"
    write_results(tmp_path / "c", looked_for)
    assert "The program found the vertebrae" in write_cases_page(tmp_path, ["c"]).read_text()
    write_results(tmp_path / "b", healthy(), trained_on="the user's")
    assert "synthetic" not in write_cases_page(tmp_path, ["b"]).read_text()


def test_names_are_escaped_and_nothing_is_asked_of_the_network(tmp_path):
    write_results(tmp_path / "<b>&", healthy())
    page = write_cases_page(tmp_path, ["<b>&"]).read_text()
    assert names_on(page) == ["&lt;b&gt;&amp;"]
    assert 'href="%3Cb%3E%26/page.html"' in page
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_forty_cases_are_far_below_two_megabytes(tmp_path):
    lists = make_lists()
    whole = lists._replace(vertebrae=[lists.vertebrae[0]] * 14)
    names = [f"case-{number}" for number in range(40)]
    for name in names:
        write_results(tmp_path / name, whole)
    page = write_cases_page(tmp_path, names)
    assert page.stat().st_size < 2_000_000
    assert page.read_bytes() == write_cases_page(tmp_path, names).read_bytes()
