"""What an installation brings along, by the configuration; `.ci/reach` builds and installs it."""

import os
import re
import runpy
import sys
import tomllib
import types
from pathlib import Path

from tests.cohort import ROOT

PACKAGE = ROOT / "vfseg"


def _files(folder):
    """Files below a folder, links to folders followed, but for what Python or a user adds."""
    for at, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name not in ("__pycache__", "ct")]
        yield from (Path(at, name) for name in names)


def test_a_wheel_has_every_file_of_the_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = {p for pattern in setuptools["package-data"]["vfseg"] for p in PACKAGE.glob(pattern)}
    other = {path for path in _files(PACKAGE) if path.suffix != ".py"}
    assert PACKAGE / "shipped" / "parameters.npz" in other
    assert other <= data


def test_the_package_has_the_configs():
    configs = {p.relative_to(ROOT / "configs"): p.read_bytes() for p in _files(ROOT / "configs")}
    brought = {p.relative_to(PACKAGE / "configs"): p for p in _files(PACKAGE / "configs")}
    assert Path("quickstart.py") in configs
    assert {name: path.read_bytes() for name, path in brought.items()} == configs


def test_who_cites_it_names_the_version_and_licence_that_it_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = dict(
        line.split(": ", 1)
        for line in (ROOT / "CITATION.cff").read_text().splitlines()
        if ": " in line and not line.startswith(" ")
    )
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_an_sdist_has_what_is_needed_to_test():
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    assert {f"graft {name}" for name in ("benchmarks", "configs", "docs", "tests")} <= {*lines}


def test_the_long_description_is_the_readme_without_what_works_in_a_clone_alone(monkeypatch):
    described = {}
    stand_in = types.SimpleNamespace(setup=described.update)  # an installation need not have it
    monkeypatch.setitem(sys.modules, "setuptools", stand_in)
    runpy.run_path(str(ROOT / "setup.py"))
    text, readme = described["long_description"], (ROOT / "README.md").read_text()
    assert described["long_description_content_type"] == "text/markdown"
    assert "readme" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    kept = re.findall(r"\]\(([^)]*)\)", text)
    assert kept == [link for link in re.findall(r"\]\(([^)]*)\)", readme) if "://" in link]
    assert "![" not in text

    def words(page):
        page = re.sub(r"!\[.*?\]\(.*?\)", "", page)
        return re.sub(r"\[(.*?)\]\(.*?\)", r"\1", page).split()

    assert text.split()[: len(words(readme))] == words(readme)
