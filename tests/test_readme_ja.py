"""`README.ja.md` keeps step with `README.md`: its commands, its figures, its modes, its links."""

import re

import pytest

from tests.cohort import ROOT
from vfseg.commands.flags import FLAGS
from vfseg.commands.subcommands import COMMANDS

ENGLISH, JAPANESE = ((ROOT / name).read_text() for name in ("README.md", "README.ja.md"))
_SPEED = re.compile(r"<!-- speed -->.*?<!-- /speed -->", re.S)


def blocks(page):
    return re.findall(r"```\w*\n.*?```", page, re.S)


def tables(page):
    """Tables of a page: their rows, head and rule included, as lists of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", page, re.M)
    return [[line.strip("| \n").split(" | ") for line in rows.splitlines()] for rows in found]


def numbers(text):
    return re.findall(r"-?\d+(?:\.\d+)?", text)


def test_every_block_of_commands_is_in_both():
    assert len(blocks(JAPANESE)) >= 7
    assert blocks(JAPANESE) == blocks(ENGLISH)


def test_every_figure_is_in_both():
    """Tables of results row by row, in order; that of speed is left to the English page."""
    english, japanese = tables(_SPEED.sub("", ENGLISH)), tables(JAPANESE)
    results = [[rows for rows in page if len(rows[0]) in (3, 4)] for page in (english, japanese)]
    assert len(results[1]) == 2
    for one, other in zip(*results, strict=True):
        assert [len(row) for row in one] == [len(row) for row in other]
        for row, translated in zip(one[1:], other[1:], strict=True):
            assert sorted(numbers(" ".join(row))) == sorted(numbers(" ".join(translated)))


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
