"""What is answered at once, in this process and in one that is looked at for what it imports."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from absl.testing import flagsaver

from tests.cohort import ROOT, tiny_config
from vfseg.commands import flags
from vfseg.commands.answers import answer, version
from vfseg.commands.subcommands import COMMANDS
from vfseg.config.config import read_config
from vfseg.config.derive import load
from vfseg.errors import UserError
from vfseg.main import main


def said(words):
    return answer(["vfseg", *words.split()])


def test_without_a_word_it_shows_what_one_can_do():
    shown = said("")
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.line)}$", shown, re.MULTILINE)
    assert "not for diagnosis" in shown
    assert len(shown.splitlines()) < 25, "one screen"


@pytest.mark.parametrize("words", ["--version", "predict --version"])
def test_the_version(words):
    assert said(words) == f"vfseg {version()}"


@pytest.mark.parametrize("words", ["predict --help", "predict ct.nii.gz -h", "configs --help"])
def test_help_of_a_command(words):
    assert said(words).startswith(f"vfseg {words.split()[0]} ")


@pytest.mark.parametrize(
    "words", ["predict ct", "--help", "--mode=run", "predcit", "run --config=x"]
)
def test_where_there_is_something_to_do_nothing_is_answered(words):
    assert said(words) is None


def test_the_configs_that_there_are():
    listed = dict(line.split(maxsplit=1) for line in said("configs list").splitlines())
    assert set(listed) == {path.stem for path in (ROOT / "configs").glob("*.py")}
    assert listed["quickstart"].startswith("Quickstart: the whole job")
    assert said("configs") == said("configs list")
    assert said("configs show quickstart") == (ROOT / "configs/quickstart.py").read_text().rstrip()


def test_a_copied_config_is_complete(tmp_path):
    """Also one that is derived from another one; what stands is not replaced."""
    folder = tmp_path / "mine"
    printed = said(f"configs copy vertebral_fracture {folder}")
    assert f"vfseg run {folder / 'vertebral_fracture.py'}" in printed
    copied = read_config(load(folder / "vertebral_fracture.py"))
    assert copied == read_config(load(ROOT / "configs" / "vertebral_fracture.py"))
    (folder / "quickstart.py").write_text("mine")
    with pytest.raises(UserError, match=r"vertebral_fracture\.py: exists already"):
        said(f"configs copy vertebral_fracture {folder}")
    (folder / "vertebral_fracture.py").unlink()
    said(f"configs copy vertebral_fracture {folder}")
    assert (folder / "quickstart.py").read_text() == "mine"


def test_the_command_for_a_copied_config_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = answer(["vfseg", "configs", "copy", "quickstart", "my own"])
    assert printed.splitlines()[-1] == "vfseg run 'my own/quickstart.py'"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("configs show quikstart", "no config 'quikstart'. There are benchmark_cohort, "),
        ("configs shwo quickstart", "expected list | show NAME | copy NAME [FOLDER]"),
        ("completion fish", "vfseg completion fish: expected bash | zsh"),
        ("completion", "vfseg completion: expected bash | zsh"),
    ],
)
def test_other_words_are_refused(words, message):
    with pytest.raises(UserError, match=re.escape(message)):
        said(words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("vfseg pre", "predict prepare"),
        ("vfseg run quick", "quickstart"),
        ("vfseg predict ct.nii.gz --vertebra-", "--vertebra-scheme"),
        ("vfseg configs sh", "show"),
        ("vfseg configs copy quick", "quickstart"),
        ("vfseg plan real", "real_bone"),
        ("vfseg find ct.nii.gz --he", "--help"),
        ("vfseg predict ''", ""),  # files, which the shell completes where nothing is said
        ("vfseg run quickstart --workdir ''", ""),
        ("vfseg run quickstart --workdir quick", ""),
    ],
)
def test_bash_completes(typed, completed):
    words = shlex.split(typed)
    script = [
        said("completion bash"),
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}",
        '_vfseg; echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(["bash", "-c", "\n".join(script)], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (completed, "")


def test_the_package_is_the_program():
    command = [sys.executable, "-m", "vfseg", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"vfseg {version()}\n"


def test_that_of_zsh_is_that_of_bash_once_zsh_takes_it():
    first, _, rest = said("completion zsh").partition("\n")
    assert "bashcompinit" in first
    assert rest == said("completion bash")


def test_jax_is_not_waited_for_where_there_is_nothing_to_compute(tmp_path):
    """Help, and what a user can mistype; one process asks for all, one after the other.

    Nor is NiBabel: a path that is mistyped is said as soon as a flag that is. So are the values of
    a config, each by itself and together, and nothing is written for them.
    """
    workdir = f"--workdir={tmp_path / 'run'}"
    asked = [
        ["run", "quickstart", "--config.train.patienc=3"],
        [],
        ["predict", "--help"],
        ["predcit"],
        ["--mode=trian"],
        ["run", "quikstart"],
        ["run", "quickstart", "--config.train.patience=many"],
        ["train", "quickstart", workdir, "--config.train.log_every=0"],
        ["run", "quickstart", workdir, "--config.windows.planes=axal"],
        ["evaluate", "quickstart", workdir, "--config.generator.features=(8, 8, 8, 8, 8, 8)"],
        ["prepare", "quickstart", workdir, "--vertebra-scheme=vers"],
        ["predict", str(tmp_path / "none.nii.gz"), "--vertebrae=x", f"-o={tmp_path / 'out'}"],
        ["--help"],
    ]
    code = (
        "import sys\nfrom vfseg.main import main\n"
        f"for words in {asked!r}:\n"
        "    sys.argv = ['vfseg', *words]\n"
        "    print('status', main(sys.argv), bool({'jax', 'nibabel'} & {*sys.modules}))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    statuses = re.findall(r"^status (\d) (\w+)$", done.stdout, re.MULTILINE)
    assert statuses == [(status, "False") for status in "2002222222220"]
    assert "Did you mean --config.train.patience?" in done.stderr
    assert "none.nii.gz: no such file" in done.stderr
    assert "config.train.log_every=0: expected a whole number from 1." in done.stderr
    assert "config.windows.planes=('axal',): expected one or more of axial, " in done.stderr
    assert "(48, 48, 48): expected three sizes (superior, anterior, right), mul" in done.stderr
    assert "config.prepare.vertebra_scheme='vers': expected one of verse, " in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_config_is_found_by_its_name(monkeypatch, capsys, tmp_path):
    """Away from any checkout, too; and its key is changed as it is by its path."""
    monkeypatch.chdir(tmp_path)
    before = flagsaver.save_flag_values(flags.FLAGS)
    try:
        words = ["vfseg", "--config=quickstart:tiny", "--config.seed=7", "--mode=prepare"]
        monkeypatch.setattr(sys, "argv", words)
        flags.parse(words)
        assert flags.config() == tiny_config(seed=7)
    finally:
        flagsaver.restore_flag_values(before, flags.FLAGS)
    assert "which came with vfseg" in capsys.readouterr().out
    assert main(["vfseg", "run", "none"]) == 2
