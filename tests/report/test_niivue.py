"""NiiVue, as it is taken from the installed package, and what is made of a package without it."""

import importlib.machinery
import importlib.util
from urllib.parse import quote

import pytest

from vfseg.report.niivue import niivue_module

MODULE = "class Viewer{}; /* " + "x" * 200_000 + " */ export{Viewer as Niivue,other};"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes the widget of a package that stands in for `ipyniivue`."""
    spec = importlib.machinery.ModuleSpec("ipyniivue", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    niivue_module.cache_clear()
    yield lambda text: (
        (tmp_path / "static").mkdir(),
        (tmp_path / "static/widget.js").write_text(text),
    )
    niivue_module.cache_clear()


def test_the_module_is_the_text_from_which_the_widget_saves_pages(package):
    package(f'var a="short",b="{quote(MODULE, safe="")}";export default a;')
    found = niivue_module()
    assert found.startswith("class Viewer{};")
    assert "export" not in found


@pytest.mark.parametrize("widget", ["", 'var a="' + "b" * 200_000 + '";'])
def test_a_package_without_that_text_gives_no_viewer(package, widget):
    package(widget)
    assert niivue_module() is None


def test_a_package_without_a_widget_gives_no_viewer(package):
    assert niivue_module() is None


def test_without_the_package_there_is_no_viewer(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    niivue_module.cache_clear()
    assert niivue_module() is None
    niivue_module.cache_clear()


def test_the_installed_package_brings_the_viewer():
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("needs the extra report")
    found = niivue_module()
    assert "Niivue=class" in found
    assert len(found) > 1_000_000
    assert "</script" not in found.lower()
