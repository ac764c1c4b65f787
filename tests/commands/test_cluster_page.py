"""The commands of `docs/cluster.md` are taken by this program; what they do is tested elsewhere.

Two joined processes train as one in `tests/test_processes.py`, where folds are shared out, too.
"""

import os
import re
import shlex
import subprocess
import sys

import pytest
from absl.testing import flagsaver

from tests.cohort import ROOT
from vfseg.commands import flags
from vfseg.commands.subcommands import COMMANDS, as_flags

PAGE = (ROOT / "docs" / "cluster.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
LINES = [
    line.removeprefix("srun ")
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith(("vfseg ", "srun vfseg "))
]
JOB = {"WORKDIR": "runs/x", "HOME": "/home/x"}
TASK = {"SLURM_ARRAY_TASK_COUNT": "5", "SLURM_ARRAY_TASK_ID": "3"}


@pytest.mark.parametrize("block", BLOCKS)
def test_scripts_are_bash(block):
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("line", LINES)
def test_flags_are_those_of_their_command(line, monkeypatch):
    saved = flagsaver.save_flag_values(flags.FLAGS)
    for name, value in (JOB | TASK).items():
        monkeypatch.setenv(name, value)
    words = shlex.split(os.path.expandvars(line), comments=True)
    monkeypatch.setattr(sys, "argv", words)  # overrides come from there
    try:
        flags.parse(as_flags(words))
        flags.check()
        command = COMMANDS[words[1]]
        given = {flags.FLAGS[name].name for name in flags.FLAGS if flags.FLAGS[name].present}
        known = {*command.flags, command.takes, "mode"}
        assert {name for name in given if not name.startswith("config.")} <= known
        if flags.FOLDS.value:
            assert list(flags.folds(flags.config().split.folds)) == [3]
    finally:
        flagsaver.restore_flag_values(saved, flags.FLAGS)


def test_two_processes_by_hand_are_the_two_of_the_job():
    """The same command but for how the processes find each other."""
    job, *by_hand = [line for line in LINES if "--config.split" not in line and " run " in line]
    assert len(by_hand) == 2
    for number, line in enumerate(by_hand):
        common, joined = line.partition("  #")[0].split(" --coordinator=")
        assert f"{common} --distributed" == job
        assert joined == f"node1:12345 --processes=2 --process={number}"
