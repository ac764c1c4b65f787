"""The pages for readers: links lead somewhere, commands are taken, every column is explained."""

import re
import shlex

import pytest

from tests.cohort import ROOT
from vfseg.commands.flags import FLAGS, MODES
from vfseg.commands.subcommands import COMMANDS, as_flags
from vfseg.evaluation.lists import LESION_COLUMNS, VERTEBRA_COLUMNS

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEMPLATES = sorted((ROOT / ".github").rglob("*.md"))
OF_A_PREDICTION = ("trained_on", "use")
OF_A_MAP = ("map_ml", "specks_ml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    own = [link for link in links if "://" not in link]
    assert [link for link in own if not (page.parent / link).exists()] == []


def commands(page):
    """Whole commands of a page, in blocks and in the text, as flags."""
    lines = re.findall(
        r"(?:^|`|&& |srun )(?:vfseg|python -m vfseg\.main) ([^`\n]+)", page.read_text(), re.M
    )
    words = [["vfseg", *shlex.split(line, comments=True)] for line in lines]
    modes = [w for w in words if w[1].startswith("-") or COMMANDS.get(w[1], COMMANDS["run"]).takes]
    return [as_flags(w)[1:] for w in modes if w[1] not in ("COMMAND", "--version")]


def test_that_commands_of_pages_are_found():
    assert ["--mode=predict", "--input=ct.nii.gz", "--vertebrae", "labels.nii.gz", "-o", "out"] in (
        commands(ROOT / "README.md")
    )
    assert ["--config", "configs/quickstart.py"] in commands(ROOT / "README.md")


@pytest.mark.parametrize("page", [*PAGES, *TEMPLATES], ids=lambda page: page.name)
def test_commands_have_modes_and_flags_that_go_together(page):
    for words in commands(page):
        named = re.search(r"--mode[= ](\w+)", " ".join(words))
        mode = named.group(1) if named else "run"
        assert mode in MODES
        own = {*COMMANDS[mode].flags, COMMANDS[mode].takes, "mode", "config"}
        names = [word.lstrip("-").partition("=")[0] for word in words if word.startswith("-")]
        flags = [name.replace("-", "_") for name in names if not name.startswith("config.")]
        assert {FLAGS[name].name for name in flags} <= own, words


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
