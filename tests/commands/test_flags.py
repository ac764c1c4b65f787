"""Flags in this process: what they ask for."""

import os

import pytest
from absl.testing import flagsaver

from tests.cohort import tiny_config
from tests.data.test_cases import manifest
from vfseg.commands import flags
from vfseg.commands.subcommands import as_flags
from vfseg.commands.workdir import Run
from vfseg.errors import UserError


@pytest.fixture
def parsed():
    """Parses arguments; what they set is put back."""
    before = {name: flags.FLAGS[name].value for name in ("mode", "input", "output", "follow_links")}
    yield lambda *arguments: flags.parse(["vfseg", *arguments])
    for name, value in before.items():
        flags.FLAGS[name].value = value


@pytest.mark.parametrize("given", [[], ["--follow_links"], ["--follow-links"]])
def test_links_are_followed_where_that_is_asked_for(given, parsed):
    parsed("--mode=predict", "--input=x", "--output=y", *given)
    assert flags.request().follow_links is bool(given)


def test_a_run_follows_them_too(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "ct.nii.gz").touch()
    os.symlink("../ct.nii.gz", tmp_path / "data" / "link.nii.gz")
    path = manifest(tmp_path / "data", "one,p,link.nii.gz,,,,,train")
    config = tiny_config(manifest=str(path))
    with pytest.raises(UserError, match=r"no case found(.|\n)*--follow_links"):
        Run(config, tmp_path / "w").standing_cases()
    (case,) = Run(config, tmp_path / "w", follow_links=True).standing_cases()
    assert case.case_id == "one"


def test_a_config_that_is_a_pipe_is_not_waited_for(tmp_path, parsed):
    os.mkfifo(tmp_path / "config.py")
    with pytest.raises(UserError, match=r"config.py: a pipe or a device"):
        parsed(f"--config={tmp_path / 'config.py'}")


@pytest.fixture
def _elsewhere(tmp_path, monkeypatch):
    """In a folder without configs; the flags are put back."""
    before = flagsaver.save_flag_values(flags.FLAGS)
    monkeypatch.chdir(tmp_path)
    yield
    flagsaver.restore_flag_values(before, flags.FLAGS)


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize("given", ["--config=", "--config "])
def test_configs_come_with_the_package(given, monkeypatch, capsys):
    arguments = f"vfseg {given}configs/quickstart.py:tiny --config.seed=7".split()
    monkeypatch.setattr("sys.argv", arguments)  # where ml_collections looks for the keys
    flags.parse(arguments)
    assert flags.config() == tiny_config(seed=7)
    assert "which came with vfseg" in capsys.readouterr().out


@pytest.mark.usefixtures("_elsewhere")
def test_keys_of_a_config_that_a_command_names_can_be_changed(monkeypatch):
    arguments = [
        "vfseg",
        "audit",
        "quickstart:tiny",
        "--config.manifest=m.csv",
        "--config.seed",
        "7",
    ]
    monkeypatch.setattr("sys.argv", arguments)
    flags.parse(as_flags(arguments))
    assert flags.config() == tiny_config(manifest="m.csv", seed=7)


@pytest.mark.usefixtures("_elsewhere")
def test_a_config_of_the_user_goes_before_that_of_the_package(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "quickstart.py").write_text("raise ValueError('mine')\n")
    with pytest.raises(UserError, match="mine"):
        flags.parse(["vfseg", "--config=configs/quickstart.py"])


@pytest.mark.usefixtures("_elsewhere")
def test_where_there_is_no_such_config_those_of_the_package_are_named():
    with pytest.raises(UserError, match=r"no such file\. There are .*configs/quickstart\.py"):
        flags.parse(["vfseg", "--config=configs/quickstrat.py"])


@pytest.mark.usefixtures("_elsewhere")
def test_of_a_config_that_there_is_nowhere_none_is_said_to_be_used(capsys):
    with pytest.raises(UserError, match=r"Did you mean configs/quickstart\.py\?"):
        flags.parse(["vfseg", "--config=quikstart"])
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize(
    ("words", "ask", "said"),
    [
        ("predict", flags.request, r"predict needs a CT \(--input\)\. See vfseg predict --help"),
        ("show ct.nii", flags.request, r"show needs a place for what it writes \(-o, --output\)"),
        ("train", flags.config, r"train needs a config, as in vfseg train quickstart, or --config"),
    ],
)
def test_what_is_missing_is_said_in_the_words_of_the_command(words, ask, said):
    flags.parse(as_flags(["vfseg", *words.split()]))
    with pytest.raises(UserError, match=said):
        ask()
