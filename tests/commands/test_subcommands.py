"""Sub-commands: their words as flags, and what is said of those that there are not."""

import re

import pytest
from absl.testing import flagsaver

from tests.cohort import tiny_config
from vfseg.commands import flags
from vfseg.commands.flags import FLAGS, MODES, PACKAGED_CONFIGS, _with_path_of_config
from vfseg.commands.subcommands import COMMANDS, as_flags, check, help_of
from vfseg.errors import UserError


@pytest.mark.parametrize(
    ("words", "in_short"),
    [
        ("predict ct -o out --vertebrae l", "--mode=predict --input=ct -o out --vertebrae l"),
        ("predict -o out ct", "--mode=predict --input=ct -o out"),
        ("predict --overwrite ct --output=o", "--mode=predict --input=ct --overwrite --output=o"),
        ("predict --vertebra-scheme verse ct", "--mode=predict --input=ct --vertebra-scheme verse"),
        ("predict --input ct", "--mode=predict --input ct"),
        ("run quickstart -q", "--mode=run --config=quickstart -q"),
        ("run a.py:tiny --config.seed 3", "--mode=run --config=a.py:tiny --config.seed 3"),
        ("train -v a --config.seed=3", "--mode=train --config=a -v --config.seed=3"),
        ("--config a --mode run stray", "--config a --mode run stray"),
        ("", ""),
    ],
)
def test_words_are_flags_in_short(words, in_short):
    assert as_flags(["vfseg", *words.split()]) == ["vfseg", *in_short.split()]


@pytest.mark.parametrize(
    "words", ["run quickstart:tiny --config.seed=7", "run --config.seed 7 quickstart:tiny"]
)
def test_settings_are_changed_wherever_their_config_stands(words, monkeypatch):
    before = flagsaver.save_flag_values(flags.FLAGS)
    monkeypatch.setattr("sys.argv", ["vfseg", *words.split()])  # as ml_collections sees them
    try:
        flags.parse(as_flags(["vfseg", *words.split()]))
        assert flags.config() == tiny_config(seed=7)
    finally:
        flagsaver.restore_flag_values(before, flags.FLAGS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("predcit ct", "no command 'predcit'. Did you mean vfseg predict?"),
        ("evalute quickstart", "Did you mean vfseg evaluate?"),
        ("xyz", "no command 'xyz'. There are predict, show, pick, find, run"),
        ("predict a b", "vfseg predict takes one CT, and found 'a', 'b'"),
        ("run a b", "vfseg run takes one CONFIG, and found 'a', 'b'"),
        ("predict ct --mode=train", "goes without --mode"),
        ("predict ct --mode train", "goes without --mode"),
        ("predict ct --vertebrea l -o o", "no flag --vertebrea. Did you mean --vertebrae?"),
        ("show ct --boxes-inclusiv b -o o", "Did you mean --boxes-inclusive? See vfseg show"),
        ("predict ct --vertebrae -o o", "--vertebrae needs a value, and -o follows it"),
        ("predict ct --boxes b -o --overwrite", "-o needs a value, and --overwrite follows it"),
        ("run a --workdir --config.seed=3", "--workdir needs a value, and --config.seed=3 follows"),
    ],
)
def test_what_is_mistyped_is_answered_with_what_was_meant(words, said):
    with pytest.raises(UserError, match=re.escape(said)):
        as_flags(["vfseg", *words.split()])


@pytest.fixture
def checked():
    """Reads a command line and checks what goes with what; the flags are put back."""
    before = flagsaver.save_flag_values(flags.FLAGS)

    def read(*words):
        flags.parse(as_flags(["vfseg", *words]))
        check()

    yield read
    flagsaver.restore_flag_values(before, flags.FLAGS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("pick ct --workdir w", "--workdir goes with --mode predict, run, audit, plan"),
        ("find ct --vertebra-scheme verse", "--vertebra-scheme goes with --mode predict, show"),
        ("show ct --distributed", "--distributed goes with --mode predict, run"),
        ("export m --follow-links", "--follow-links goes with --mode predict, run"),
        ("--mode=train --output=x", "--output goes with --mode predict, show, pick, find, plan"),
        ("run --folds --fusions", "--fusions goes with --mode evaluate"),
        ("evaluate --folds --fusions", "--folds goes without --coordinator, --compare"),
    ],
)
def test_a_flag_that_a_command_does_not_heed_is_refused(checked, words, said):
    with pytest.raises(UserError, match=re.escape(said)):
        checked(*words.split())


@pytest.mark.parametrize(
    ("name", "flag"), [(name, flag) for name in COMMANDS for flag in COMMANDS[name].flags]
)
def test_each_flag_of_its_help_is_one_that_a_command_takes(checked, name, flag):
    given = f"--{flag}" if FLAGS[flag].boolean else f"--{flag}=1"
    checked(name, given)


def test_every_mode_has_its_command():
    assert {name for name, command in COMMANDS.items() if command.takes} == {*MODES}


@pytest.mark.parametrize("config", [["--config=quickstart"], ["--config", "quickstart"]])
def test_what_is_named_as_the_config_keeps_its_name(tmp_path, monkeypatch, config):
    """A workdir, say; and a folder of that name hides no config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    words = ["vfseg", "--workdir", "quickstart", *config, "--log_file=quickstart"]
    found = _with_path_of_config(words)
    path = str(PACKAGED_CONFIGS / "quickstart.py")
    there = [config[0].replace("quickstart", path), *([path] if config[1:] else [])]
    assert found == [*words[:3], *there, words[-1]]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_says_what_it_does_with_an_example(name):
    command = COMMANDS[name]
    said = help_of(command)
    assert said.startswith(f"vfseg {name} {command.usage}\n  {command.line}\n")
    assert f"vfseg {name} " in command.example
    assert command.example in said
    for flag in command.flags:
        assert f"--{flag.replace('_', '-')} " in said
    assert len(said.splitlines()) < 35, "short"


@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].takes])
def test_the_examples_are_words_that_are_understood(name):
    """Each flag of an example is one of its command, or a key of its config."""
    program, *words = COMMANDS[name].example.split()
    for flag in as_flags([program, *words])[1:]:
        if flag.startswith("-") and not flag.startswith("--config."):
            key = FLAGS[flag.lstrip("-").partition("=")[0]].name
            assert key in (*COMMANDS[name].flags, "mode", COMMANDS[name].takes)
