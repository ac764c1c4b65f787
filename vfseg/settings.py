"""Settings: frozen dataclasses whose fields say what they may be, and one strict reader for all.

A field's annotation carries its rule, and the rule its words, so that what a docstring promises,
what is checked and what a message says stand in one place::

    @dataclass(frozen=True, kw_only=True)
    class WindowSettings(Settings, section="windows"):
        targets: Annotated[int, whole(1)]

A field without a rule is checked by its type. Settings check themselves however they are made;
`read` makes them from a mapping (a config) and finds every misspelt, missing and ill-typed key.
"""

import dataclasses
import difflib
import functools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import (
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from vfseg.errors import UserError


class Rule(NamedTuple):
    """What the value of a setting must be.

    Attributes:
        holds: of the value; may raise for one of another kind, see `admits`.
        words: what was expected, as the end of a message.
    """

    holds: Callable[[Any], bool]
    words: str

    def admits(self, value: Any) -> bool:
        """Whether a value of any kind is right."""
        try:
            return self.holds(value)
        except (TypeError, ValueError, IndexError, AttributeError, ArithmeticError):
            return False


def whole(low: int) -> Rule:
    """A whole number, at least `low`."""
    return Rule(lambda value: _is_whole(value) and value >= low, f"a whole number from {low}")


def at_least(low: float, what: str = "a number") -> Rule:
    """A finite number, at least `low`."""
    return Rule(lambda value: _is_finite(value) and value >= low, f"{what} from {low:g}")


def above(low: float, what: str = "a number") -> Rule:
    """A finite number greater than `low`."""
    return Rule(lambda value: _is_finite(value) and value > low, f"{what} above {low:g}")


def between(low: float, high: float, what: str = "a number") -> Rule:
    """A number in [low, high]."""
    return Rule(
        lambda value: _is_finite(value) and low <= value <= high, f"{what} from {low:g} to {high:g}"
    )


def below(high: float, what: str = "a number") -> Rule:
    """A number in [0, high)."""
    return Rule(
        lambda value: _is_finite(value) and 0 <= value < high, f"{what} from 0 to below {high:g}"
    )


def one_of(names: Collection[str], words: str = "") -> Rule:
    """One of some names."""
    return Rule(
        lambda value: isinstance(value, str) and value in names,
        words or f"one of {', '.join(names)}",
    )


def subset_of(names: Collection[str], fewest: int, words: str) -> Rule:
    """Names out of some, each at most once."""
    return Rule(
        lambda values: (
            not isinstance(values, str)
            and all(value in names for value in values)
            and fewest <= len(values) == len(set(values))
        ),
        words,
    )


def wholes(low: int, fewest: int, words: str) -> Rule:
    """Whole numbers, each at least `low`."""
    return Rule(
        lambda values: (
            not isinstance(values, str)
            and len(values) >= fewest
            and all(_is_whole(value) and value >= low for value in values)
        ),
        words,
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    """Whether a value is a number, and one that a float can hold."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


_OF_TYPE: dict[Any, Rule] = {
    bool: Rule(lambda value: isinstance(value, bool), "True or False"),
    int: Rule(_is_whole, "a whole number"),
    float: Rule(_is_finite, "a number"),
    str: Rule(lambda value: isinstance(value, str), "a text"),
}


class Settings:
    """Base of the settings of one section of a config; `section` is its name there.

    Raises:
        UserError: a value that breaks its rule; each of them has a line.
    """

    section: ClassVar[str] = ""

    def __init_subclass__(cls, *, section: str | None = None):
        if section is not None:
            cls.section = section

    def __post_init__(self):
        where = _within("config", self.section)
        lines, own = [], cast(Any, type(self))
        for name, (kind, rule) in fields_of(own).items():
            value = _plain(getattr(self, name), kind)
            object.__setattr__(self, name, value)
            lines += _problem(_within(where, name), value, rule) if rule else []
        if lines := lines or list(self.unfit()):
            raise UserError("\n".join(lines))

    def unfit(self) -> Iterator[str]:
        """What does not fit together within the section, a line each; all values are right."""
        return iter(())


@functools.cache
def fields_of(kind: Any) -> dict[str, tuple[Any, Rule | None]]:
    """Name -> type and rule of the fields of settings; a section within a section has no rule.

    Raises:
        TypeError: a field has neither a rule nor a type that has one.
    """
    found: dict[str, tuple[Any, Rule | None]] = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, rule = hints[field.name], None
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
            rule = next((extra for extra in extras if isinstance(extra, Rule)), None)
        if rule is None and not _is_section(hint):
            rule = _OF_TYPE.get(hint)
            if rule is None:
                raise TypeError(f"{kind.__name__}.{field.name}: {hint} needs a rule")
        found[field.name] = hint, rule
    return found


def read(
    kind: Any, values: Mapping[str, Any], where: str = "config"
) -> tuple[SimpleNamespace, dict[str, str]]:
    """Reads a mapping strictly, and goes on where something is wrong.

    Args:
        kind: class of the settings to read, sections within it included.
        values: what a config holds.
        where: its place, for messages.

    Returns:
        Name -> value, as attributes, of all that is right (sections likewise, so that what fits
        together can be checked between sections that are right); and dotted key -> message of all
        that is wrong.
    """
    fields = fields_of(kind)
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }
    read_values: dict[str, Any] = dict(defaults)
    problems: dict[str, str] = {}
    for name in values:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, 1)
            hint = f"Did you mean {where}.{near[0]}?" if near else f"There are {', '.join(fields)}."
            problems[f"{where}.{name}"] = f"{where}.{name}: no such setting. {hint}"
    for name, (hint, rule) in fields.items():
        key = _within(where, name)
        if name not in values:
            if name not in defaults:
                words = rule.words if rule else f"a section with {', '.join(fields_of(hint))}"
                problems[key] = f"{key} is missing: expected {words}."
        elif rule:
            value = _plain(values[name], hint)
            for line in _problem(key, value, rule):
                problems[key] = line
            read_values[name] = value
        elif not isinstance(values[name], Mapping):
            words = f"a section with {', '.join(fields_of(hint))}"
            problems[key] = f"{key}={values[name]!r}: expected {words}."
        else:
            read_values[name], found = read(hint, values[name], key)
            problems |= found
    if not problems:
        for line in _unfit(kind, read_values):
            problems[where] = "\n".join(filter(None, (problems.get(where, ""), line)))
    return SimpleNamespace(**read_values), problems


def build(kind: Any, values: SimpleNamespace) -> Any:
    """Settings from what `read` found, where it found nothing wrong."""
    hints = {name: hint for name, (hint, _) in fields_of(kind).items()}
    return kind(
        **{
            name: build(hints[name], value) if isinstance(value, SimpleNamespace) else value
            for name, value in vars(values).items()
        }
    )


def _unfit(kind: Any, values: Mapping[str, Any]) -> list[str]:
    """What does not fit together within one section; sections within it have said theirs."""
    if any(isinstance(value, SimpleNamespace) for value in values.values()):
        return []
    try:
        kind(**values)
    except UserError as error:
        return str(error).splitlines()
    return []


def _problem(key: str, value: Any, rule: Rule) -> list[str]:
    return [] if rule.admits(value) else [f"{key}={value!r}: expected {rule.words}."]


def _plain(value: Any, kind: Any) -> Any:
    """Sequences as tuples at every depth, and a whole number as float where that is the type."""
    if isinstance(value, list | tuple):
        return tuple(_plain(item, None) for item in value)
    return float(value) if kind is float and _is_whole(value) and _is_finite(value) else value


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Settings)


def _within(where: str, name: str) -> str:
    return f"{where}.{name}" if name else where
