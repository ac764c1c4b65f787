"""A planned config as a file: what was given, what was decided and why, and from which figures."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vfseg.config.derive import PACKAGED_CONFIGS
from vfseg.config.rules import Ruling

_WIDTH = 100


def plan_text(
    base: Path,
    variant: str,
    given: Mapping[str, Any],
    rulings: Sequence[Ruling],
    figures: Sequence[str],
) -> str:
    """The text of a config file.

    Args:
        base: file of the config that it is derived from; one of the package by its name, another
            by its full path.
        variant: of that config.
        given: dotted key -> value, as the user gave them.
        rulings: what was decided.
        figures: lines that say what from.
    """
    packaged = base.resolve().parent == PACKAGED_CONFIGS.resolve()
    where = f"PACKAGED_CONFIGS / {_literal(base.name)}"
    if not packaged:
        where = f"Path({_literal(str(base.resolve()))})"
    load = f"load({where}, {_literal(variant)})" if variant else f"load({where})"
    names = "PACKAGED_CONFIGS, changed, load" if packaged else "changed, load"
    lines = [
        '"""Planned for one data set by `vfseg plan`; an ordinary config, to be changed at will.',
        "",
        *(line for figure in figures for line in _wrapped(figure, "", "    ")),
        '"""',
        "",
        *([] if packaged else ["from pathlib import Path", ""]),
        "from ml_collections import ConfigDict",
        "",
        f"from vfseg.config.derive import {names}",
        "",
        *_entries("GIVEN", given),
        "",
        "PLANNED = {",
    ]
    for ruling in rulings:
        lines += _wrapped(ruling.reason, "    # ", "    # ")
        lines += _items(ruling.values)
    lines += [
        "}",
        "",
        "",
        "def get_config() -> ConfigDict:",
        f"    return changed({load}, GIVEN, PLANNED)",
    ]
    return "\n".join(lines) + "\n"


def _entries(name: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return [f"{name}: dict[str, object] = {{}}"]
    return [f"{name} = {{", *_items(values), "}"]


def _items(values: Mapping[str, Any]) -> list[str]:
    return [f"    {_literal(key)}: {_literal(value)}," for key, value in values.items()]


def _literal(value: Any) -> str:
    """A value as Python has it, texts in double quotes where they hold none."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    text = repr(value)
    return f'"{value}"' if text == f"'{value}'" and '"' not in text else text


def _wrapped(text: str, first: str, then: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=then)
