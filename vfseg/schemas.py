"""What JSON that this program reads back must look like, said once and checked at every place.

A shape is built from the rules that settings have::

    {"step": whole(0), "temperature": Maybe(above(0))}  # a mapping
    [between(0, 1)]                                     # a list of any length
    Table(whole(0))                                     # a mapping with names of any kind

Further names in a mapping are nobody's business: a file of another version may have them. A library
for schemas would bring a second language beside the rules of `settings`, for what takes one
function.
"""

import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vfseg.errors import UserError
from vfseg.json_files import read_json
from vfseg.settings import Rule


def _is_number(value: Any) -> bool:
    float(value)  # raises for whole numbers beyond all floats
    return isinstance(value, int | float) and not isinstance(value, bool)


NUMBER = Rule(_is_number, "a number")
"""Also not a number, or infinite: a loss may be."""

TEXT = Rule(lambda value: isinstance(value, str), "a text")
TRUTH = Rule(lambda value: isinstance(value, bool), "true or false")
ANY = Rule(lambda value: True, "anything")


class Maybe(NamedTuple):
    """What may be missing, or null."""

    shape: Any


class All(NamedTuple):
    """What is of several shapes at once."""

    shapes: tuple[Any, ...]


class Table(NamedTuple):
    """A mapping whose names are not fixed, and whose values are all of one shape."""

    shape: Any


def misfit(content: Any, shape: Any, where: str = "content") -> str:
    """The first place at which a content is not of a shape, in words; "" where it is.

    Args:
        content: as `json` reads it.
        shape: see the module.
        where: the place of this content, for the words.
    """
    if isinstance(shape, Maybe):
        return "" if content is None else misfit(content, shape.shape, where)
    if isinstance(shape, All):
        return next(filter(None, (misfit(content, one, where) for one in shape.shapes)), "")
    if isinstance(shape, Rule):
        if shape.admits(content):
            return ""
        return f"{where}={reprlib.repr(content)}: expected {shape.words}"
    kind, words = (list, "a list") if isinstance(shape, list) else (Mapping, "names and values")
    if not isinstance(content, kind):
        return f"{where}={reprlib.repr(content)}: expected {words}"
    if isinstance(shape, dict):
        for name, part in shape.items():
            if name not in content and not isinstance(part, Maybe):
                return f"{where}.{name} is missing"
    return next(filter(None, (misfit(*part) for part in _parts(content, shape, where))), "")


def _parts(content: Any, shape: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """Each part of a list or mapping, its shape and its place."""
    if isinstance(shape, list):
        for number, item in enumerate(content):
            yield item, shape[0], f"{where}[{number}]"
    elif isinstance(shape, Table):
        for name, item in content.items():
            yield item, shape.shape, f"{where}.{name}"
    else:
        for name, part in shape.items():
            yield content.get(name), part, f"{where}.{name}"


def read_checked(path: Path, shape: Any, remedy: str = "Delete it, and run again.") -> Any:
    """Content of a JSON file of this program; None where there is none.

    Args:
        path: of the file.
        shape: of its content.
        remedy: what to do where it is damaged.

    Raises:
        UserError: it is damaged, or of another shape.
    """
    content = read_json(path, remedy)
    if content is None and not path.exists():
        return None
    wrong = misfit(content, shape)
    if wrong:
        raise UserError(f"{path}: damaged ({wrong}). {remedy}")
    return content
