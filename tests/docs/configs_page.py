"""The tables of `docs/configs.md`, from the settings themselves.

    python -m tests.docs.configs_page

writes them anew; `test_configs_page` fails where the page does not have them.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from tests.cohort import ROOT
from vfseg.config.config import Config
from vfseg.config.derive import load
from vfseg.settings import Settings, fields_of

PAGE = ROOT / "docs" / "configs.md"
CONFIGS = ROOT / "configs"
_TABLES = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.S)
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*): ")


def sections() -> dict[str, Any]:
    """Name -> class of the settings of each section; "" is what concerns them all."""
    kinds = {name: kind for name, (kind, rule) in fields_of(Config).items() if rule is None}
    return {"": Config, **kinds}


def explained(kind: type) -> dict[str, str]:
    """Name -> what the docstrings of a class and of those it builds on say of its attributes."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not issubclass(one, Settings) or one is Settings:
            continue
        _, _, text = (inspect.getdoc(one) or "").partition("Attributes:\n")
        names: list[str] = []
        for line in textwrap.dedent(text.partition("\n\n")[0]).splitlines():
            if start := _ATTRIBUTE.match(line):
                names = start[1].split(", ")
                found |= dict.fromkeys(names, line.removeprefix(start[0]))
            else:
                found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def table(section: str, kind: Any, values: Any) -> Iterator[str]:
    """Lines of the table of one section.

    Args:
        section: its name, "" for what concerns all of them.
        kind: class of its settings.
        values: those of `configs/quickstart.py`.
    """
    said = explained(kind)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    yield "| setting | may be | quickstart | what it is |"
    yield "| --- | --- | --- | --- |"
    for name, (_, rule) in fields_of(kind).items():
        if rule is None:
            continue  # a section of its own
        value = f"`{values[name]!r}`" if name in values else f"(`{defaults[name]!r}`)"
        key = f"{section}.{name}" if section else name
        cells = f"`{key}`", rule.words, value, said[name]
        escaped = [cell.replace("|", r"\|") for cell in cells]
        yield f"| {' | '.join(escaped)} |"


def tables() -> str:
    """All that the page has between its two comments."""
    values = load(CONFIGS / "quickstart.py").to_dict()
    lines: list[str] = []
    for section, kind in sections().items():
        summary = (inspect.getdoc(kind) or "").splitlines()[0]
        heading = f"## {section}\n\n{summary}" if section else "## For all of a run"
        of_section = values[section] if section else values
        lines += ["", heading, "", *table(section, kind, of_section)]
    lines += ["", "## The configs that come along", "", "| config | what it is |", "| --- | --- |"]
    for path in sorted(CONFIGS.glob("*.py")):
        summary = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        lines.append(f"| [`{path.name}`](../configs/{path.name}) | {summary} |")
    return "\n".join([*lines, "", ""])


def with_tables(page: str) -> str:
    """A page with the tables in their place."""
    text, count = _TABLES.subn(lambda _: tables(), page)
    if count != 1:
        raise ValueError(f"{PAGE}: no place for the tables")
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
