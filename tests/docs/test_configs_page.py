"""`docs/configs.md` has every setting, as the settings and the quickstart have them."""

import re
import shlex

import pytest
from absl.testing import flagsaver

from tests.docs.configs_page import PAGE, explained, sections, with_tables
from vfseg.commands import flags
from vfseg.commands.subcommands import as_flags
from vfseg.config.config import read_config, setting_names
from vfseg.config.derive import changed, load
from vfseg.errors import UserError


def test_the_page_is_what_the_settings_say():
    """Written anew by `python -m tests.docs.configs_page`."""
    page = PAGE.read_text()
    assert with_tables(page) == page


def test_every_setting_has_a_line_and_no_other():
    keys = re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(), re.M)
    names = set(setting_names()) - set(sections())
    assert len(keys) == len(names)
    assert set(keys) == names


def test_every_setting_is_explained_in_the_docstring_of_its_section():
    for name, kind in sections().items():
        said = explained(kind)
        own = [key.rpartition(".")[2] for key in setting_names() if key.startswith(f"{name}.")]
        assert all(said[key].strip() for key in own)


def test_what_goes_over_two_lines_is_taken_whole():
    """A name that shares its line with others, and a text that goes on below."""

    class Example(sections()["windows"]):
        """Example.

        Attributes:
            first, second: mm, and what
                goes on: here.
            third: alone.
        """

    said = explained(Example)
    assert said["first"] == said["second"] == "mm, and what goes on: here."
    assert said["third"] == "alone."
    assert said["length"]  # of the class that it builds on


@pytest.fixture
def parsed(monkeypatch):
    """The config that a command asks for; flags are put back."""
    saved = flagsaver.save_flag_values(flags.FLAGS)

    def parse(command):
        words = shlex.split(command)
        monkeypatch.setattr("sys.argv", words)  # where ml_collections looks for settings
        flags.parse(as_flags(words))
        return flags.config()

    yield parse
    flagsaver.restore_flag_values(saved, flags.FLAGS)


def test_its_commands_change_what_they_name(parsed):
    commands = re.findall(r"^vfseg .*", PAGE.read_text(), re.M)
    wanted = (
        {"windows.length": 3, "losses.dice": 0.5},
        {"windows.planes": ("axial", "sagittal")},
    )
    quickstart = load(flags.PACKAGED_CONFIGS / "quickstart.py")
    for command, changes in zip(commands, wanted, strict=True):
        assert parsed(command) == read_config(changed(quickstart, changes))


def test_what_stands_in_brackets_has_to_be_named_by_a_config_first(parsed):
    bracketed = re.findall(r"^\| `([\w.]+)` \| [^|]* \| \(`", PAGE.read_text(), re.M)
    quickstart = load(flags.PACKAGED_CONFIGS / "quickstart.py").to_dict()
    assert {key for key in setting_names() if key.partition(".")[0] == "phantom"} >= {*bracketed}
    assert not {key.rpartition(".")[2] for key in bracketed} & {*quickstart["phantom"]}
    with pytest.raises(
        UserError, match=r"config\.phantom\.split_fraction: this config leaves the setting"
    ):
        parsed("vfseg run quickstart --config.phantom.split_fraction=0.5")
    assert "phantom.split_fraction" in bracketed
