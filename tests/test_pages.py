"""The pages for readers: their links lead somewhere, and every column of a list is explained."""

import re

import pytest

from tests.cohort import ROOT
from vfseg.evaluation.lists import LESION_COLUMNS, VERTEBRA_COLUMNS

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OF_A_PREDICTION = ("trained_on", "use")
OF_A_MAP = ("map_ml", "specks_ml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    own = [link for link in links if "://" not in link]
    assert [link for link in own if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("vertebrae.csv", (*VERTEBRA_COLUMNS, *OF_A_MAP, *OF_A_PREDICTION)),
        ("lesions.csv", (*LESION_COLUMNS, *OF_A_PREDICTION)),
    ],
)
def test_every_column_is_explained_and_no_other(name, columns):
    text = (ROOT / "docs" / "your-cts.md").read_text()
    _, rest = text.split(f"### Columns of `{name}`")
    rows = re.findall(r"^\| (`.*?) \|", rest.split("###")[0], re.M)
    explained = [column for row in rows for column in re.findall("`(.*?)`", row)]
    assert sorted(explained) == sorted(columns)
