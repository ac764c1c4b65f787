"""Flags in this process: what they ask for."""

import os

import pytest

from tests.cohort import tiny_config
from tests.data.test_cases import manifest
from vfseg.commands import flags
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
