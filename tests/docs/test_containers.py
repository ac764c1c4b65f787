"""The container recipes copy what there is, install what the project says, and run its command."""

import fnmatch
import re
import shlex
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.cohort import ROOT
from vfseg.commands.flags import FLAGS
from vfseg.commands.subcommands import COMMANDS, as_flags

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKER = (ROOT / "containers" / "Dockerfile").read_text()
IGNORED = (ROOT / "containers" / "Dockerfile.dockerignore").read_text()
APPTAINER = (ROOT / "containers" / "vfseg.def").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "containers.md").read_text(), re.S)
LINES = [line for block in BLOCKS for line in block.splitlines()]
NEEDED = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "configs", "vfseg"}


def instructions(name):
    """Words after each instruction of the Dockerfile."""
    return [shlex.split(line) for line in re.findall(rf"^{name} (.*)", DOCKER, re.M)]


def section(name):
    """Words of each line of a section of the definition, without comments."""
    (text,) = re.findall(rf"^%{name}\n(.*?)(?=^%|\Z)", APPTAINER, re.M | re.S)
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def test_both_copy_what_an_installation_needs():
    copied = {source for *sources, _ in instructions("COPY") for source in sources}
    assert copied == {source for source, _ in section("files")} == NEEDED
    assert all((ROOT / name).exists() for name in NEEDED)
    # What setuptools is told to read, and what the link in the package leads to.
    assert {"setup.py", "README.md", *PROJECT["license-files"]} <= NEEDED
    assert (ROOT / "vfseg" / "configs").resolve() == ROOT / "configs"


def test_nothing_else_is_sent_to_the_builder_and_no_ct():
    lines = [line for line in IGNORED.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == NEEDED
    kept_out = [line for line in lines[1:] if not line.startswith("!")]
    for path in ("configs/real_bone/ct", "configs/real_bone/mine.nii.gz", "vfseg/a.nii"):
        assert any(fnmatch.fnmatch(path, line.replace("**/", "*")) for line in kept_out)
    last = max(lines.index(line) for line in lines if line.startswith("!"))
    assert all(lines.index(line) > last for line in kept_out)  # the last that fits decides


def test_both_install_the_same():
    (docker,) = [words for words in instructions("RUN") if words[:2] == ["pip", "install"]]
    (apptainer,) = [words for words in section("post") if words[:2] == ["pip", "install"]]
    *common, jax = docker
    assert apptainer == [*common, "{{ JAX }}"]
    assert jax == "$JAX"
    assert instructions("ARG") == section("arguments") == [["JAX=jax"]]
    extras = Requirement(f"vfseg{common[-1].removeprefix('.')}").extras
    assert extras
    assert extras <= {*PROJECT["optional-dependencies"]}


def test_both_begin_with_a_python_that_is_tested():
    (image,) = instructions("FROM")
    assert image == re.findall(r"^From: (.*)", APPTAINER, re.M)
    python = re.fullmatch(r"python:([\d.]+)-slim", image[0])[1]
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert f"newest=python{python}\n" in (ROOT / ".ci" / "run").read_text()


def test_what_they_run_is_the_command_and_nobody_is_root():
    assert instructions("ENTRYPOINT") == [["[vfseg]"]]
    assert section("runscript") == [["exec", "vfseg", "$@"]]
    assert "vfseg" in PROJECT["scripts"]
    assert instructions("USER")[-1] != ["root"]
    assert instructions("USER")[-1] != ["0"]


@pytest.mark.parametrize("block", BLOCKS)
def test_commands_are_bash(block):
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("line", [line for line in LINES if " build " in line])
def test_builds_name_a_recipe_that_is_there(line):
    (recipe,) = re.findall(r"containers/\S+", line)
    assert (ROOT / recipe).is_file()
    assert re.findall(r"'(\w+)=.*?'", line) in ([], ["JAX"])


@pytest.mark.parametrize("line", [line for line in LINES if " run --" in line])
def test_runs_are_commands_of_the_program(line):
    words = shlex.split(line)
    (image,) = [
        n for n, word in enumerate(words) if re.fullmatch(r"vfseg(:gpu|(-gpu)?\.sif)?", word)
    ]
    command = COMMANDS[words[image + 1]]
    for word in as_flags(["vfseg", *words[image + 1 :]])[1:]:
        if word.startswith("-"):
            assert FLAGS[word.lstrip("-").partition("=")[0]].name in (
                *command.flags,
                command.takes,
                "mode",
            )
