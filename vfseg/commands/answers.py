"""What the program answers at once: what it can do, help, version, configs, completion."""

import importlib.metadata
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from vfseg.commands.flags import PACKAGED_CONFIGS, packaged_names
from vfseg.commands.subcommands import COMMANDS, help_of, long_flag, overview
from vfseg.errors import UserError
from vfseg.files import atomic_file, make_sure_of

_HELP = {"-h", "--help", "-help"}
_SHELLS = ("bash", "zsh")


def answer(arguments: Sequence[str]) -> str | None:
    """What is to be printed; None where there is something to do.

    Raises:
        UserError: a word that `configs` or `completion` does not know.
    """
    words = list(arguments[1:])
    if "--version" in words:
        return f"vfseg {version()}"
    if not words:
        return overview(version())
    command = COMMANDS.get(words[0])
    if command is not None and _HELP & set(words):
        return help_of(command)
    if words[0] == "configs":
        return _configs(words[1:])
    if words[0] == "completion":
        return _completion(words[1:])
    return None


def version() -> str:
    """The installed version; "(not installed)" in a checkout that never was."""
    try:
        return importlib.metadata.version("vfseg")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _configs(words: Sequence[str]) -> str:
    match words or ["list"]:
        case ["list"]:
            names = packaged_names()
            lines = [f"{name:<{max(map(len, names)) + 2}}{_first_line(name)}" for name in names]
            return "\n".join(lines)
        case ["show", name]:
            return _packaged(name).read_text().rstrip()
        case ["copy", name, *folder] if len(folder) < 2:
            return _copy(name, Path(*folder))
    raise UserError(
        f"vfseg configs {' '.join(words)}: expected {COMMANDS['configs'].usage}. For instance: "
        f"{COMMANDS['configs'].example}"
    )


def _packaged(name: str) -> Path:
    path = PACKAGED_CONFIGS / f"{name.removesuffix('.py')}.py"
    if path.stem not in packaged_names():
        raise UserError(f"no config {name!r}. There are {', '.join(packaged_names())}.")
    return path


def _first_line(name: str) -> str:
    """What a config is, as its docstring begins."""
    return _packaged(name).read_text().partition('"""')[2].partition("\n")[0].strip('"')


def _copy(name: str, folder: Path) -> str:
    """Copies a config, and those that it is derived from where they are missing."""
    path = _packaged(name)
    text = path.read_text()
    base = [path.with_name(found) for found in re.findall(r'with_name\("(\w+\.py)"\)', text)]
    if (folder / path.name).exists():
        raise UserError(f"{folder / path.name}: exists already. Name another folder, or move it.")
    make_sure_of(folder)
    copied = []
    for source in (path, *base):
        if not (folder / source.name).exists():
            with atomic_file(folder / source.name) as file:
                file.write(source.read_bytes())
            copied.append(str(folder / source.name))
    return f"copied: {', '.join(copied)}\nvfseg run {shlex.quote(str(folder / path.name))}"


def _completion(words: Sequence[str]) -> str:
    if len(words) != 1 or words[0] not in _SHELLS:
        raise UserError(
            f"{' '.join(['vfseg completion', *words])}: expected {COMMANDS['completion'].usage}. "
            f"For instance: {COMMANDS['completion'].example}"
        )
    cases = []
    for command in COMMANDS.values():
        own = {"configs": ["list", "show", "copy", *packaged_names()], "completion": [*_SHELLS]}
        plain = packaged_names() if command.takes == "config" else own.get(command.name, [])
        named = " ".join([*map(long_flag, command.every_flag), "--help"])
        cases.append(f"    {command.name}) plain={' '.join(plain)!r} flags={named!r} ;;")
    # Where no word is left, the shell completes files: of what a flag takes, and of a CT.
    script = [
        "_vfseg() {",
        '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        f"  local plain={' '.join(COMMANDS)!r} flags='--help --version'",
        '  if [ "$COMP_CWORD" -gt 1 ]; then case "${COMP_WORDS[1]}" in',
        *cases,
        "    *) plain='' flags='' ;;",
        "  esac; fi",
        "  case \"$before\" in -*|=) plain='' ;; esac",
        '  case "$word" in -*) plain="$flags" ;; esac',
        '  COMPREPLY=($(compgen -W "$plain" -- "$word"))',
        "}",
        "complete -o default -F _vfseg vfseg",
    ]
    if words[0] == "zsh":
        script.insert(0, "autoload -U +X compinit bashcompinit && compinit && bashcompinit")
    return "\n".join(script)
