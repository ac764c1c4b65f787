"""The commands of `docs/cluster.md` are taken by this program; what they do is tested elsewhere.

Two joined processes train as one in `tests/test_processes.py`, where folds are shared out, too.
"""

import functools
import re
import shlex
import subprocess

import pytest

from tests.cohort import ROOT
from vfseg.commands.flags import FLAGS, PACKAGED_CONFIGS
from vfseg.commands.subcommands import COMMANDS, as_flags
from vfseg.config.derive import load

PAGE = (ROOT / "docs" / "cluster.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
LINES = [
    line.removeprefix("srun ")
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith(("vfseg ", "srun vfseg "))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_scripts_are_bash(block):
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("line", LINES)
def test_flags_are_those_of_their_command(line):
    words = shlex.split(line, comments=True)
    command, settings = COMMANDS[words[1]], load(PACKAGED_CONFIGS / "quickstart.py")
    for word in as_flags(words)[1:]:
        name = word.lstrip("-").partition("=")[0]
        if name.startswith("config."):
            functools.reduce(getattr, name.split(".")[1:], settings)  # there is such a key
        elif word.startswith("-"):
            assert FLAGS[name].name in (*command.flags, command.takes, "mode")


def test_an_array_has_a_task_for_each_fold():
    (block,) = [block for block in BLOCKS if "--array" in block and "--folds" in block]
    first, last = re.search(r"--array=(\d+)-(\d+)", block).groups()
    (folds,) = re.findall(r"--config\.split\.folds=(\d+)", block)
    assert (int(first), int(last)) == (0, int(folds) - 1)
    # A signal to the steps of a job reaches what srun started; GPUs of a task need their number.
    assert all(f"#SBATCH --{header}" in block for header in ("ntasks=1", "time=", "signal=TERM@"))
    assert "\nsrun vfseg run " in block
    assert '--processes="$SLURM_ARRAY_TASK_COUNT" --process="$SLURM_ARRAY_TASK_ID"' in block


def test_two_processes_by_hand_are_the_two_of_the_job():
    """The same command but for how the processes find each other."""
    job, *by_hand = [line for line in LINES if "--config.split" not in line and " run " in line]
    assert len(by_hand) == 2
    for number, line in enumerate(by_hand):
        common, joined = line.partition("  #")[0].split(" --coordinator=")
        assert f"{common} --distributed" == job
        assert joined == f"node1:12345 --processes=2 --process={number}"
