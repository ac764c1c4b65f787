"""`docs/tutorial.ipynb` runs as a reader runs it, and is stored without what that gives."""

import re

import nbclient
import nbformat
import pytest

from tests.cohort import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def outputs(cell):
    return [output for output in cell.get("outputs", ()) if output.output_type != "stream"]


def printed(notebook):
    return "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stdout"
    )


def test_it_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_its_links_lead_somewhere():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    links = re.findall(r"\]\(([^)]*)\)", "\n".join(texts))
    assert links
    assert all((NOTEBOOK.parent / link).is_file() for link in links)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tutorial")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources=resources
    ).execute()
    return notebook, folder


def test_it_shows_what_its_text_says(executed):
    notebook, _ = executed
    lines = printed(notebook).splitlines()
    for level in ("T12", "L1"):
        (line,) = [line for line in lines if line.lstrip().startswith(f"{level}  broken: ")]
        assert "fracture likely" in line
    whole = [line for line in lines if "whole: " in line]
    assert len(whole) == 3
    assert all("fracture likely" not in line for line in whole)


def test_it_draws_and_saves(executed):
    notebook, folder = executed
    pictures = [o for cell in notebook.cells for o in outputs(cell) if "image/png" in o.data]
    assert len(pictures) == 3
    saved = folder / "tutorial-out"
    names = {path.name for path in saved.iterdir()}
    assert {"page.html", "vertebrae.csv", "probability.nii.gz", "spine.png"} <= names
    assert names & {*printed(notebook).splitlines()} >= {"page.html", "spine.png"}
