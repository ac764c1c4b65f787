import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import vfseg
from tests.drawing.html import Page
from vfseg import RESEARCH_USE
from vfseg.drawing.figures import Picture
from vfseg.drawing.page import link, write_html

NASTY = "a<b>&\"c' #1"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one template."""
    folder = tmp_path / "some_pages" / "templates"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "one.html.j2").write_text(
        '{% extends "page.html.j2" %}{% from "parts.html.j2" import figure %}'
        "{% block content %}<p>{{ words }}</p>{{ figure(picture) }}{% endblock %}"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "some_pages"


def test_a_page_has_frame_and_style_and_escapes_what_it_is_given(package, tmp_path):
    path, picture = (
        tmp_path / "out" / "index.html",
        Picture(tmp_path / "a#b.png", {"en": NASTY}, tall=True),
    )
    content = {"title": NASTY, "kind": "one", "words": NASTY, "picture": picture}
    write_html(path, package, "one.html.j2", **content)
    page = Page(path)
    assert page.texts.count(NASTY) == 2  # the paragraph and the caption
    assert f"vfseg: {NASTY}" in page.text
    assert RESEARCH_USE in page.texts
    assert page.links == ["../a%23b.png"] * 2
    assert not {"script", "link", "b"} & set(page.tags)
    style = path.read_text().split("<style>")[1].split("</style>")[0]
    assert "--page:" in style
    assert "url(" not in style
    assert "@import" not in style


def test_a_name_that_is_missing_is_an_error_and_no_page(package, tmp_path):
    path = tmp_path / "out" / "index.html"
    with pytest.raises(UndefinedError, match="words"):
        write_html(
            path, package, "one.html.j2", title="t", kind="one", picture=Picture(path, {"en": ""})
        )
    assert not path.parent.exists()


def test_links_are_relative_and_encoded(tmp_path):
    target = tmp_path / "evaluation" / "my list.csv"
    assert link(target, tmp_path / "report") == "../evaluation/my%20list.csv"


def test_an_installed_package_has_its_templates():
    package = Path(vfseg.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["vfseg"]
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    templates = {path for path in package.rglob("templates/*") if path.is_file()}
    assert {path.name for path in templates} >= {"page.css", "report.html.j2", "audit.html.j2"}
    assert templates <= shipped
