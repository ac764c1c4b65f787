"""The sub-commands: one table, what each says of itself, and how its words become flags.

absl's flags stay underneath: a config file and its `--config.KEY=VALUE` are theirs, and so every
command line from before still means what it meant. A sub-command is a mode whose main argument
needs no name: `vfseg predict CT -o OUT` is `--mode=predict --input=CT --output=OUT`.
"""

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from vfseg import RESEARCH_USE
from vfseg.commands.flags import COMPARE, COORDINATOR, FLAGS, FOLDS, FUSIONS, MODE
from vfseg.errors import UserError

_ALWAYS = ("quiet", "verbose", "log_file")
_TOGETHER = ("distributed", "coordinator", "processes", "process")
_RUN = ("workdir", "data", "follow_links", "vertebra_scheme", "boxes_inclusive", *_TOGETHER)
_CT = ("vertebrae", "boxes", "points", "vertebra_scheme", "boxes_inclusive")


class Subcommand(NamedTuple):
    """A sub-command.

    Attributes:
        name: of the command, and of its mode where it has one.
        line: what it does.
        usage: what follows the name.
        example: a whole command.
        flags: that go with it, beside `_ALWAYS`.
        takes: the flag that a word alone stands for; "" where it has no mode and no flags.
        else_takes: its value where neither it nor a word is given; "" leaves it open.
    """

    name: str
    line: str
    usage: str
    example: str
    flags: tuple[str, ...] = ()
    takes: str = "config"
    else_takes: str = ""

    @property
    def every_flag(self) -> tuple[str, ...]:
        """Its flags, and those that go with every command that has any."""
        return (*self.flags, *_ALWAYS) if self.takes else self.flags


COMMANDS = {
    command.name: command
    for command in (
        Subcommand(
            "predict",
            "a CT, or a folder of cases -> maps, masks, lists, pictures",
            "CT [--vertebrae LABELS] -o OUT",
            "vfseg predict ct.nii.gz --vertebrae labels.nii.gz -o out",
            (
                *(*_CT, "lowest", "output", "checkpoint", "workdir", "overwrite", "everywhere"),
                *("dicom", "follow_links", *_TOGETHER),
            ),
            takes="input",
        ),
        Subcommand(
            "show",
            "a picture of where the vertebrae of a CT are, before any prediction",
            "CT --vertebrae LABELS -o PICTURE.png",
            "vfseg show ct.nii.gz --points points.csv -o understood.png",
            (*_CT, "output", "overwrite"),
            takes="input",
        ),
        Subcommand(
            "pick",
            "a page to click the vertebral bodies of a CT in; it gives the file of --points",
            "CT -o PAGE.html",
            "vfseg pick ct.nii.gz -o pick.html",
            ("output", "overwrite"),
            takes="input",
        ),
        Subcommand(
            "find",
            "experimental: the vertebrae of a CT, found; it gives the file of --points",
            "CT -o POINTS.csv [--lowest LEVEL]",
            "vfseg find ct.nii.gz -o points.csv",
            ("lowest", "output", "overwrite"),
            takes="input",
        ),
        Subcommand(
            "run",
            "prepare, train, evaluate and report; what stands is kept",
            "CONFIG [--config.KEY=VALUE ...]",
            "vfseg run quickstart --workdir runs/first",
            (*_RUN, "folds"),
        ),
        Subcommand(
            "audit",
            "what is wrong with a data set",
            "CONFIG [--config.manifest=CSV]",
            "vfseg audit quickstart --config.manifest=data/manifest.csv --workdir runs/mine",
            _RUN,
        ),
        Subcommand(
            "plan",
            "a data set -> a config for it, with the reasons",
            "[CONFIG] --config.manifest=CSV [-o FILE.py]",
            "vfseg plan --config.manifest=data/manifest.csv -o planned.py",
            (*_RUN, "output", "overwrite"),
            else_takes="vertebral_fracture",
        ),
        Subcommand(
            "prepare",
            "cases -> crops of the vertebrae, in a store",
            "CONFIG [--config.KEY=VALUE ...]",
            "vfseg prepare quickstart --workdir runs/first",
            (*_RUN, "folds"),
        ),
        Subcommand(
            "train",
            "trains, or goes on from the newest checkpoint",
            "CONFIG [--config.KEY=VALUE ...]",
            "vfseg train quickstart --workdir runs/first",
            (*_RUN, "folds"),
        ),
        Subcommand(
            "evaluate",
            "thresholds from validation cases, figures from test cases",
            "CONFIG [--compare WORKDIR]",
            "vfseg evaluate quickstart --workdir runs/first",
            (*_RUN, "folds", "compare", "fusions"),
        ),
        Subcommand(
            "report",
            "the offline page of an evaluated run",
            "CONFIG [--workdir DIR]",
            "vfseg report quickstart --workdir runs/first",
            (*_RUN, "folds"),
        ),
        Subcommand(
            "ship",
            "a run on virtual fractures -> a model to pass on, with its card",
            "CONFIG -o FOLDER",
            "vfseg ship real_bone -o model",
            (*_RUN, "output"),
        ),
        Subcommand(
            "export",
            "a trained model -> one StableHLO file, and a script that needs JAX alone",
            "[MODEL] -o FOLDER",
            "vfseg export runs/first -o portable",
            ("output", "workdir", "overwrite"),
            takes="checkpoint",
        ),
        Subcommand(
            "configs",
            "the configs that come with vfseg",
            "list | show NAME | copy NAME [FOLDER]",
            "vfseg configs copy quickstart",
            takes="",
        ),
        Subcommand(
            "completion",
            "a script that has a shell complete all of this",
            "bash | zsh",
            'eval "$(vfseg completion bash)"',
            takes="",
        ),
    )
}


def as_flags(arguments: Sequence[str]) -> list[str]:
    """The arguments of the program with a sub-command as flags; those without one as they are.

    >>> as_flags(["vfseg", "predict", "ct.nii", "--vertebrae", "labels.nii", "-o", "out"])[1:]
    ['--mode=predict', '--input=ct.nii', '--vertebrae', 'labels.nii', '-o', 'out']

    Raises:
        UserError: there is no such command, it is named twice over by `--mode`, a flag has no
            value, or there are several words where it takes one.
    """
    program, *words = arguments
    if not words or words[0].startswith("-"):
        return list(arguments)
    command = COMMANDS.get(words[0])
    if command is None or not command.takes:
        raise UserError(f"no command {words[0]!r}.{meant(words[0])}")
    flags: list[str] = []
    alone, waiting = [], ""
    for word in words[1:]:
        if waiting and _is_flag(word):
            raise UserError(
                f"{waiting} needs a value, and {word} follows it. See vfseg {command.name} --help."
            )
        if not waiting and not word.startswith("-"):
            alone.append(word)
            continue
        flags.append(word)
        waiting = word if not waiting and _waits_for_value(word) else ""
    if any(re.match(r"--?mode\b", word) for word in flags):
        raise UserError(f"vfseg {command.name} goes without --mode: the command says it.")
    if len(alone) > 1:
        _check_spelling(command, words)
        raise UserError(
            f"vfseg {command.name} takes one {command.usage.split()[0]}, and found "
            f"{', '.join(map(repr, alone))}. See vfseg {command.name} --help."
        )
    flag = f"--{command.takes}"
    if command.else_takes and not alone and flag not in {word.partition("=")[0] for word in flags}:
        alone.append(command.else_takes)
    # A config before its settings, which do not exist until it is read.
    taken = [f"{flag}={word}" for word in alone]
    return [program, f"--mode={command.name}", *taken, *flags]


def check() -> None:
    """Refuses flags that do not go with the mode or with each other.

    Raises:
        UserError: which ones, and what they go with.
    """
    every = [(command.name, (*command.flags, command.takes)) for command in COMMANDS.values()]
    for name in dict.fromkeys(name for _, names in every for name in names):
        # A config may say whose model predicts.
        if name not in ("", "config") and FLAGS[name].value:
            modes = [mode for mode, names in every if name in names]
            if MODE.value not in modes:
                raise UserError(f"{long_flag(name)} goes with --mode {', '.join(modes)}.")
    if FOLDS.value and (COORDINATOR.value or COMPARE.value or FUSIONS.value):
        raise UserError("--folds goes without --coordinator, --compare and --fusions.")


def _waits_for_value(word: str) -> bool:
    """Whether the next word is the value of this flag."""
    name = _name(word)
    if "=" in word:
        return False
    return name.startswith("config.") or (name in FLAGS and not FLAGS[name].boolean)


def _is_flag(word: str) -> bool:
    """Whether a word is a flag that there is, or the opposite of one."""
    name = _name(word)
    there = name.startswith("config.") or name in FLAGS or name.removeprefix("no") in FLAGS
    return word.startswith("-") and there


def _name(word: str) -> str:
    """`--boxes-inclusive=x` -> `boxes_inclusive`."""
    return word.lstrip("-").partition("=")[0].replace("-", "_")


def _check_spelling(command: Subcommand, words: Sequence[str]) -> None:
    """Names a flag that there is not: its value is a word too many.

    Raises:
        UserError: the flag, and its nearest relative.
    """
    for word in words:
        if word.startswith("--") and not _is_flag(word):
            near = difflib.get_close_matches(_name(word), list(FLAGS), 1)
            hint = f" Did you mean {long_flag(near[0])}?" if near else ""
            raise UserError(f"no flag {word}.{hint} See vfseg {command.name} --help.")


def meant(word: str) -> str:
    """Which command was meant, as the rest of a message."""
    near = difflib.get_close_matches(word, COMMANDS, 1)
    hint = f" Did you mean vfseg {near[0]}?" if near else ""
    return f"{hint} There are {', '.join(COMMANDS)}; vfseg COMMAND --help says more of each."


def overview(version: str) -> str:
    """What one can do, on one screen."""
    lines = [f"  {command.name:<12}{command.line}" for command in COMMANDS.values()]
    return "\n".join([
        f"vfseg {version}: where the vertebrae of a CT are fractured, as a 3D map. {RESEARCH_USE}",
        "",
        *lines,
        "",
        *(f"  {COMMANDS[name].example}" for name in ("predict", "run")),
        "",
        "vfseg COMMAND --help says more of each; vfseg --help lists all flags.",
    ])  # fmt: skip


def help_of(command: Subcommand) -> str:
    """Usage, example and flags of a sub-command."""
    lines = [
        f"vfseg {command.name} {command.usage}",
        f"  {command.line}",
        "",
        "for example",
        f"  {command.example}",
    ]
    if not command.takes:
        return "\n".join(lines)
    shown = [FLAGS[name] for name in command.every_flag]
    named = [(_spelt(flag), re.sub(r"^[a-z, ]+: ", "", flag.help)) for flag in shown]
    width = max(len(name) for name, _ in named) + 2
    return "\n".join([*lines, "", *(f"  {name:<{width}}{text}" for name, text in named)])


def _spelt(flag) -> str:
    short = f"-{flag.short_name}, " if flag.short_name else ""
    return short + long_flag(flag.name)


def long_flag(name: str) -> str:
    """A flag as it is typed: `log_file` -> `--log-file`."""
    return f"--{name.replace('_', '-')}"
