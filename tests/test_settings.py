"""Settings check themselves; the reader finds everything that is wrong, and says it in one form."""

import dataclasses
from typing import Annotated

import pytest

from vfseg.errors import UserError
from vfseg.settings import (
    Settings,
    above,
    at_least,
    below,
    between,
    build,
    fields_of,
    one_of,
    read,
    subset_of,
    whole,
    wholes,
)

NAN, INF = float("nan"), float("inf")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner(Settings, section="inner"):
    """A section.

    Attributes:
        low: at least 0.
        high: not below low.
        flag: of no meaning.
    """

    low: Annotated[float, at_least(0)]
    high: Annotated[float, at_least(0)] = 5.0
    flag: bool = False

    def unfit(self):
        if self.high < self.low:
            yield f"config.inner.high={self.high}: expected at least config.inner.low={self.low}."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer(Settings):
    """All of it."""

    name: str
    count: Annotated[int, whole(1)]
    inner: Inner


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (whole(1), [1, 7], [0, -1, 1.0, True, "1", None, NAN]),
        (at_least(0), [0, 0.5, 3], [-0.1, NAN, INF, True, "1", None, (1,)]),
        (above(0), [1e-9, 3], [0, -1, NAN, INF]),
        (between(0, 1), [0, 0.5, 1], [-0.1, 1.1, NAN]),
        (below(1), [0, 0.99], [1, -0.1, NAN]),
        (one_of(("a", "b")), ["a"], ["c", "", ("a",), None, 1]),
        (subset_of(("a", "b"), 1, ""), [("a",), ("b", "a")], [(), ("a", "a"), ("c",), "a", 1]),
        (subset_of(("a", "b"), 0, ""), [()], ["", "ab"]),
        (wholes(1, 1, ""), [(1,), (3, 2)], [(), (0,), (1.5,), ("1",), "1", 1, (True,)]),
    ],
)
def test_rules(rule, right, wrong):
    def holds(value):
        try:
            return bool(rule.holds(value))
        except (TypeError, ValueError, IndexError):
            return False

    assert all(map(holds, right))
    assert not any(map(holds, wrong))


def test_what_is_right_is_read_and_plain():
    values = {"name": "x", "count": 2, "inner": {"low": 1, "high": 3}}
    found, problems = read(Outer, values)
    assert not problems
    settings = build(Outer, found)
    assert settings == Outer(name="x", count=2, inner=Inner(low=1.0, high=3.0, flag=False))
    assert isinstance(settings.inner.low, float), "a whole number where a float belongs"
    assert hash(settings) == hash(build(Outer, read(Outer, values)[0]))


def test_all_that_is_wrong_is_said_at_once():
    values = {"nme": "x", "count": 0, "inner": {"low": "1", "hihg": 3, "flag": 1}}
    found, problems = read(Outer, values)
    assert list(problems.values()) == [
        "config.nme: no such setting. Did you mean config.name?",
        "config.name is missing: expected a text.",
        "config.count=0: expected a whole number from 1.",
        "config.inner.hihg: no such setting. Did you mean config.inner.high?",
        "config.inner.low='1': expected a number from 0.",
        "config.inner.flag=1: expected True or False.",
    ]
    assert found.inner.high == 5.0, "the rest can still be compared"


def test_a_name_like_no_other_is_answered_with_those_that_there_are():
    _, problems = read(Inner, {"low": 0.0, "zzz": 1}, "config.inner")
    assert problems["config.inner.zzz"].endswith("no such setting. There are low, high, flag.")


def test_what_does_not_fit_together_is_said_where_the_rest_is_right():
    said = "config.inner.high=1.0: expected at least config.inner.low=2.0."
    with pytest.raises(UserError) as raised:
        Inner(low=2.0, high=1.0)
    assert str(raised.value) == said
    _, problems = read(Outer, {"name": "x", "count": 1, "inner": {"low": 2.0, "high": 1.0}})
    assert list(problems.values()) == [said]
    _, problems = read(Inner, {"low": 2.0, "high": 1.0, "flag": 3}, "config.inner")
    assert list(problems.values()) == ["config.inner.flag=3: expected True or False."]


def test_lists_become_tuples_at_every_depth():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Listed(Settings):
        sizes: Annotated[tuple[int, ...], wholes(1, 1, "sizes")]

    assert Listed(sizes=[1, 2]).sizes == (1, 2)


def test_a_field_without_rule_or_known_type_is_a_mistake_of_ours():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Bare(Settings):
        sizes: tuple[int, ...]

    with pytest.raises(TypeError, match=r"Bare\.sizes"):
        fields_of(Bare)
