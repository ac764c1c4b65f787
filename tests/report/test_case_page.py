"""The page of one CT as a file: what it says, what it holds, what it never asks for."""

import base64
import dataclasses
import json
import re

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from nibabel.affines import apply_affine

from tests.report.listed import make_about, make_lists
from tests.report.scene import make_scene, without_spine
from vfseg.drawing.figures import Picture
from vfseg.report import case_page
from vfseg.report.case_lists import CaseLists
from vfseg.report.case_page import About, write_case_page
from vfseg.report.figures import PROBABILITY_COLOURS
from vfseg.report.niivue import within_script
from vfseg.report.said_findings import mark_of
from vfseg.report.solids import build_solids

SCRIPT = "class Niivue {}"


@pytest.fixture(autouse=True)
def viewer(monkeypatch):
    """A module in the place of NiiVue: what a page holds is tried without it, too."""
    monkeypatch.setattr(case_page, "niivue_module", lambda: SCRIPT)


def written(tmp_path, scene=None, about=None, pictures=()):
    scene = make_scene() if scene is None else scene
    path = tmp_path / "page.html"
    write_case_page(scene, about or make_about(), build_solids(scene), pictures, path)
    return path.read_text()


def text_of(page, language):
    """What a reader of a language sees, without the scripts."""
    other = {"en": "ja", "ja": "en"}[language]
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    page = re.sub(rf'<span lang="{other}">.*?</span>', "", page, flags=re.S)
    page = re.sub(r"</?(?:b|span|button)\b[^>]*>", "", page)  # within a line
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace(" ,", ",")


def test_the_page_begins_with_the_sentences_in_both_languages(tmp_path):
    page = written(tmp_path)
    english, japanese = text_of(page, "en"), text_of(page, "ja")
    sentence = (
        "L1: fracture likely (0.93). Height loss 39 % (middle), Genant 2, range 2-3; "
        "map 1.73 mL in the middle of the body."
    )
    assert sentence in english
    assert english.index(sentence) < english.index("Vertebrae") < english.index("CT and map")
    assert "L1：骨折の可能性が高い（0.93）。椎体高減少 39 %（中央）" in japanese
    for term in ("椎体", "骨折確率", "矢状断", "前縁高"):
        assert term in japanese


def test_colours_of_map_and_uncertainty_stand_beside_their_values(tmp_path):
    """As the script colours them: the map from 0 to 1, uncertainty from a tenth of its highest."""
    scene = make_scene()
    scene = dataclasses.replace(scene, uncertainty=0.3 * scene.probability)  # at most 0.27
    page = written(tmp_path, scene)
    bars = re.findall(
        r'<span class="scale"[^>]*>([\d.]+) <i style="background: linear-gradient\(to right, '
        r'(#\w{6}),[^"]*(#\w{6})\)"></i> ([\d.]+)</span>',
        page,
    )
    own = [tuple(PROBABILITY_COLOURS(code)[:3]) for code in (0, 255)]
    viridis = matplotlib.colormaps["viridis"]
    assert bars == [
        ("0.00", to_hex(own[0]), to_hex(own[1]), "1.00"),
        ("0.03", to_hex(viridis(0)), to_hex(viridis(255)), "0.27"),
    ]
    assert page.count('class="scale"') == 2
    assert written(tmp_path).count('class="scale"') == 1  # without uncertainty


def test_every_number_of_the_lists_stands_in_the_tables(tmp_path):
    page = text_of(written(tmp_path), "en")
    assert "L1 fracture likely 0.93 2 (2-3) 39 % 17.2 15.5 25.0 1.73 map and heights" in page
    assert "L2 no sign 0.01" in page
    assert "0.00 cut by the border of the CT" in page
    assert "1 L1 1.73 0.90 middle, posterior, central 10-25 30-47 36-37" in page


def test_it_says_that_vertebrae_were_found_by_the_program(tmp_path):
    lists = make_about().lists
    assert "The program found" not in text_of(written(tmp_path), "en")
    rows = [row | {"flags": f"{row['flags']} found".strip()} for row in lists.vertebrae]
    about = About("case-1", CaseLists(rows, lists.lesions), synthetic=True, outside=None)
    page = text_of(written(tmp_path, about=about), "en")
    assert "The program found the vertebrae (experimental)" in page
    assert page.count("found by the program") == len(rows)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_column_of_a_table_is_explained_below_it(tmp_path, language):
    """Of an evaluated case, whose table has the truth, too."""
    lists = make_lists()
    lists = CaseLists([row | {"fractured": True} for row in lists.vertebrae], lists.lesions)
    page = written(tmp_path, about=About("case-1", lists, synthetic=True, outside=None))
    for section, columns in (("vertebrae", 12), ("lesions", 8)):
        part = page.split(f'<section id="{section}">')[1].split("</section>")[0]
        names = re.findall(r'<th scope="col">(.*?)</th>', part)
        explained = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", part)
        assert len(names) == columns
        shown = [text_of(name, language).strip() for name in names]
        said = {
            text_of(name, language).strip(): text_of(what, language) for name, what in explained
        }
        assert [name for name in shown if name[-1] not in "ijk"] == [
            name for name in said if not name.endswith("i, j, k")
        ]
        assert all(len(what.strip()) > 8 for what in said.values())
        assert part.index("<details") < part.index("<dt>")


def test_a_fracture_that_the_model_missed_is_not_among_those_that_are_folded_away(tmp_path):
    lists = make_about().lists
    assert [mark_of(row) for row in lists.vertebrae] == ["likely", ""]
    for fractured, shown in ((False, "calm"), (True, "missed")):
        rows = [row | {"fractured": fractured} for row in lists.vertebrae]
        about = About("case-1", CaseLists(rows, lists.lesions), synthetic=True, outside=None)
        page = written(tmp_path, about=about)
        assert re.findall(r'<tr data-level="\w+" class="(\w+)">', page) == ["likely", shown]


def test_what_a_user_names_is_shown_as_it_is_and_never_run(tmp_path):
    name = "<script>alert('x')</script>&\"'"
    page = written(tmp_path, about=make_about(name, outside="slices </script> apart"))
    assert "alert('x')" not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#34;&#39;" in page
    assert page.count("</script>") == 5  # content, controls, language, volumes, viewer


def test_the_page_refers_to_nothing_outside_of_itself(tmp_path):
    page = written(tmp_path)
    assert not re.search(r'\b(?:src|href)="(?!data:)', page)
    assert "http" not in page.replace("http-equiv", "")
    assert "url(" not in page


def test_equal_cases_give_equal_pages(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert written(tmp_path / "a") == written(tmp_path / "b")


def test_without_the_viewer_the_pictures_stand_in_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(case_page, "niivue_module", lambda: None)
    picture = tmp_path / "spine.png"
    picture.write_bytes(b"\x89PNG pixels")
    page = written(
        tmp_path, pictures=[Picture(picture, {"en": "Bone & fracture.", "ja": "骨と骨折。"})]
    )
    encoded = base64.b64encode(picture.read_bytes()).decode()
    assert f'src="data:image/png;base64,{encoded}" alt="Bone &amp; fracture."' in page
    assert "骨と骨折。" in text_of(page, "ja")
    assert "Bone" not in text_of(page, "ja").split("画像")[1]
    assert '<details id="pictures" open>' in page
    assert 'pip install "vfseg[report]"' in page.replace("&#34;", '"')
    assert "canvas" not in page.split("</style>")[1]


def test_a_case_of_which_little_is_known_has_a_page(tmp_path):
    about = About("case-1", CaseLists(), synthetic=False, outside=None)
    page = text_of(written(tmp_path, scene=without_spine(make_scene()), about=about), "en")
    assert "No list of vertebrae stands beside this map." in page
    assert "None of 0.1 mL or more." in page
    assert "trained on synthetic" not in page


def test_the_viewer_begins_at_what_the_sentences_begin_with(tmp_path):
    """A surer lesion of a vertebra that asks for no look does not draw it away."""
    lists = make_lists()
    elsewhere = lists.lesions[0] | {"level": "L2", "max_probability": 0.99, "x_mm": 1.0}
    about = make_about()._replace(lists=CaseLists(lists.vertebrae, [*lists.lesions, elsewhere]))
    content = re.search(r'"start": ?(\[[^]]*\])', written(tmp_path, about=about))
    assert json.loads(content[1]) == [35.0, 38.5, 54.75]


def test_a_click_on_what_is_to_be_looked_at_leads_to_its_surest_lesion(tmp_path):
    """L1 asks for a look and has a lesion; L2 does not, and is shown in its middle."""
    scene, page = make_scene(), written(tmp_path)
    (sentence,) = re.findall(r'<p class="sentence likely"><button[^>]*data-mm="([^"]*)"', page)
    rows = dict(re.findall(r'<tr data-level="(L\d)".*?data-mm="([^"]*)"', page, re.S))
    assert sentence == rows["L1"] == "35.00 38.50 54.75"
    middle = apply_affine(scene.ct.affine, scene.spine.vertebrae[1].centre)
    np.testing.assert_allclose([float(at) for at in rows["L2"].split()], middle, atol=0.01)


@pytest.mark.parametrize(("verdict", "mark"), [("fracture likely", "likely"), ("review", "review")])
def test_a_verdict_has_its_own_mark_wherever_its_vertebra_stands(tmp_path, verdict, mark):
    first, *others = make_lists().vertebrae
    lists = CaseLists([first | {"verdict": verdict}, *others], make_lists().lesions)
    page = written(tmp_path, about=make_about()._replace(lists=lists)).split("</style>")[1]
    assert page.count(f'class="sentence {mark}"') == 1
    assert page.count(f'<tr data-level="L1" class="{mark}">') == 1
    assert page.count(f'class="go {mark}"') == 2  # in its sentence, beside the picture
    assert page.count(mark + '"') == 4


def test_nothing_within_a_script_ends_it():
    code = within_script("'</script>' + '<!-- <script>' + '</SCRIPT'")
    assert "</script" not in code.lower()
    assert "<!--" not in code
