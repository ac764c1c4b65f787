from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.report.case import draw_case
from vfseg.report.page import write_page


def test_a_case_is_drawn_where_the_page_finds_it(tmp_path):
    directory = tmp_path / "report" / "case-1"
    pictures = draw_case(make_scene(), make_about(), directory)
    assert pictures[0].path == directory / "spine.png"
    drawn = {picture.path for picture in pictures} | {
        directory / "spine.glb",
        directory / "page.html",
    }
    assert drawn == set(directory.iterdir())
    page = write_page(tmp_path, {"case-1": pictures}).read_text()
    for path in drawn:
        assert f'href="case-1/{path.name}"' in page


def test_a_case_drawn_twice_is_the_same_bits(tmp_path):
    for name in ("first", "second"):
        draw_case(make_scene(), make_about(), tmp_path / name)
    names = [path.name for path in (tmp_path / "first").iterdir()]
    assert len(names) > 2
    for name in names:
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("first", "second"))
        assert first == second, name
