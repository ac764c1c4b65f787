"""`README.ja.md` keeps step with the English pages: commands, figures, modes, links."""

import re

import pytest

from tests.cohort import ROOT
from vfseg.commands.flags import FLAGS
from vfseg.commands.subcommands import COMMANDS

README, JAPANESE = ((ROOT / name).read_text() for name in ("README.md", "README.ja.md"))
DOCS = ("your-cts", "study", "training", "python")
PAGES = [README, *((ROOT / "docs" / f"{name}.md").read_text() for name in DOCS)]
ENGLISH = "\n".join(PAGES)
_SPEED = re.compile(r"<!-- speed -->.*?<!-- /speed -->", re.S)


def blocks(page):
    return re.findall(r"```\w*\n.*?```", page, re.S)


def tables(page):
    """Tables of a page: their rows, head and rule included, as lists of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", page, re.M)
    return [[line.strip("| \n").split(" | ") for line in rows.splitlines()] for rows in found]


def numbers(text):
    return re.findall(r"-?\d+(?:\.\d+)?", text)


def test_every_block_of_the_first_page_is_in_both_and_no_other_is_made_up():
    assert len(blocks(JAPANESE)) >= 8
    assert set(blocks(README)) <= set(blocks(JAPANESE)) <= set(blocks(ENGLISH))


def test_every_figure_is_that_of_an_english_page():
    """Tables of results row by row; that of speed is left to the English page."""
    known = [
        [sorted(numbers(" ".join(row))) for row in rows[1:]]
        for page in PAGES
        for rows in tables(_SPEED.sub("", page))
    ]
    results = [rows for rows in tables(JAPANESE) if len(rows[0]) in (3, 6)]
    assert len(results) == 2
    for rows in results:
        assert [sorted(numbers(" ".join(row))) for row in rows[1:]] in known


def test_every_mode_is_in_both():
    def modes(page):
        (found,) = [rows for rows in tables(page) if rows[2][0].startswith("`run`")]
        return [re.match("`(.*?)`", row[0]).group(1) for row in found[2:]]

    assert modes(JAPANESE) == modes(ENGLISH)


def test_numbers_of_the_text_are_those_of_the_english_one():
    known = {*numbers(ENGLISH)}
    text = re.sub(
        r"[（）、。：～・]",
        " ",
        "\n".join(line for line in JAPANESE.splitlines() if not line.startswith("|")),
    )
    assert {n for n in numbers(text)} <= known


@pytest.mark.parametrize("command", re.findall(r"`(vfseg [a-z]+ [^`]*)`", JAPANESE))
def test_commands_in_the_text_have_flags_that_there_are(command):
    assert command in ENGLISH or command == "vfseg COMMAND --help"
    _, name, *words = command.split()
    if name in COMMANDS:
        named = [word.lstrip("-") for word in words if word.startswith("-")]
        assert all(flag in FLAGS for flag in named)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", JAPANESE))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
