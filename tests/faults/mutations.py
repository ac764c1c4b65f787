"""Seeded damage to the content of a file: bytes that rot, and JSON that says something else."""

import os
import re
import zlib

import numpy as np

TRIALS = int(os.environ.get("VFSEG_FAULTS", "40"))
"""Mutations of each kind of file; `VFSEG_FAULTS=3000 pytest -n0 tests/faults` is the long form."""

_VALUES = (
    *(b"null", b"true", b"[]", b"{}", b'"x"', b"[[]]", b"-1", b"0", b"1.5", b"1e308", b"-1e400"),
    *(b"NaN", b"Infinity", b"9" * 400, b"1" + b"0" * 18, b"[" * 2000, b'"\\ud800"', b"\xff"),
)
_COUNTS = (0, 1, 2, -1, -2, 2**7, 2**15 - 1, 2**15, 2**16, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
_TOKEN = re.compile(rb'"[^"]*"|-?\d[\d.eE+-]*|null|true|false|[\[\]{},:]')


def mutations(content, name, trials=TRIALS):
    """Mutations of a content, each with words that say how to make it again; none is the content.

    Args:
        content: bytes.
        name: of the kind of file; the seed.
        trials: how many.
    """
    for trial in range(trials):
        rng = np.random.default_rng([zlib.crc32(name.encode()), trial])
        changed = WAYS[trial % len(WAYS)](content, rng)
        if changed != content:
            yield changed, f"trial {trial} of {name!r}"


def _flip(content, rng):
    changed = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 4)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def _cut(content, rng):
    return content[: rng.integers(len(content))]


def _without(content, rng):
    first, last = sorted(rng.integers(len(content) + 1, size=2))
    return content[:first] + content[last:]


def _twice(content, rng):
    first, last = sorted(rng.integers(len(content) + 1, size=2))
    return content[:last] + content[first:]


def _another_value(content, rng):
    """A token of JSON becomes another value; in what is no JSON a byte becomes some."""
    tokens = list(_TOKEN.finditer(content)) or [re.match(rb".", content, re.DOTALL)]
    token = tokens[rng.integers(len(tokens))]
    value = _VALUES[rng.integers(len(_VALUES))]
    return content[: token.start()] + value + content[token.end() :]


def _another_number(content, rng):
    """A digit becomes another: what still reads well is the harder fault."""
    digits = [match.start() for match in re.finditer(rb"\d", content)] or [0]
    place = digits[rng.integers(len(digits))]
    return content[:place] + b"%d" % rng.integers(10) + content[place + 1 :]


def _another_name(content, rng):
    """A letter of a name becomes another: the name is missing then."""
    names = list(re.finditer(rb'"([^"]+)":', content)) or [re.match(rb"(.)", content, re.DOTALL)]
    place = names[rng.integers(len(names))].start(1)
    return content[:place] + b"%c" % rng.integers(97, 123) + content[place + 1 :]


def _another_count(content, rng):
    """Some bytes become a number that is very small or large: lengths and offsets are such."""
    width = int(rng.choice([1, 2, 4, 8]))
    number = _COUNTS[rng.integers(len(_COUNTS))] % 2 ** (8 * width)
    place = rng.integers(max(1, len(content) - width))
    order = "little" if rng.random() < 0.8 else "big"
    return content[:place] + number.to_bytes(width, order) + content[place + width :]


WAYS = (
    *(_flip, _cut, _without, _twice, _another_value, _another_number, _another_name),
    _another_count,
)
"""Functions of a content that is not empty and a generator: one change each."""
