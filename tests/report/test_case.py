import dataclasses
import re
from fnmatch import fnmatch

from tests.cohort import ROOT
from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.report.case import draw_case
from vfseg.report.mesh import STL_FILES
from vfseg.report.page import write_page


def test_a_case_is_drawn_where_the_page_finds_it(tmp_path):
    """In place of an earlier drawing of it, which had more; a file of the user's stays."""
    directory = tmp_path / "report" / "case-1"
    directory.mkdir(parents=True)
    for name in ("place-9-axial.png", STL_FILES["truth"], "spine-notes.txt"):
        (directory / name).write_text("earlier")
    scene = dataclasses.replace(make_scene(), reference=None)
    pictures = draw_case(scene, make_about(), directory)
    first = [picture.path.name for picture in pictures[:3]]
    assert first == ["midline.png", "spine.png", "place-1-axial.png"]
    others = ("spine.glb", STL_FILES["bone"], STL_FILES["fracture"], "page.html")
    drawn = {picture.path for picture in pictures} | {directory / name for name in others}
    assert drawn | {directory / "spine-notes.txt"} == set(directory.iterdir())
    page = write_page(tmp_path, {"case-1": pictures}).read_text()
    for path in drawn:
        assert f'href="case-1/{path.name}"' in page


def test_a_case_drawn_twice_is_the_same_bits_and_every_file_is_described(tmp_path):
    for name in ("first", "second"):
        draw_case(make_scene(), make_about(), tmp_path / name)
    names = [path.name for path in (tmp_path / "first").iterdir()]
    assert len(names) > 2
    for name in names:
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("first", "second"))
        assert first == second, name
    text = (ROOT / "docs" / "your-cts.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", text.split("## What comes out")[1].split("###")[0], re.M)
    described = [name for row in rows for name in re.findall("`(.*?)`", row)]
    assert [name for name in names if not any(fnmatch(name, known) for known in described)] == []
