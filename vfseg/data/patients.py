"""Names of patients as people write them: one patient may be spelled in several ways."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

_DECIMAL = re.compile(r"(\d+)\.0*")
_DIGITS = re.compile(r"\d+")


def person(patient_id: str) -> str:
    r"""What is the same for every spelling of one name.

    Upper and lower case, full width, spaces, leading zeros, the `sub-` of BIDS, and the `.0` that
    a spreadsheet adds to a number in a column with gaps make no difference.

    >>> {person(name) for name in ("P01", "sub-p01", "P1", "\uff30\uff10\uff11", " P 01")}
    {'p1'}
    >>> [person(name) for name in ("7", "007", "7.0", "7.5", "10")]
    ['7', '7', '7', '7.5', '10']
    """
    name = "".join(unicodedata.normalize("NFKC", patient_id).casefold().split())
    name = name.removeprefix("sub-") or name
    if number := _DECIMAL.fullmatch(name):
        name = number[1]
    return _DIGITS.sub(lambda run: run[0].lstrip("0") or "0", name)


def spellings(name: str, among: Iterable[str]) -> list[str]:
    """Which of some names are meant by one: itself where it is among them, else other spellings.

    >>> spellings("P01", ["p1", "P2"]), spellings("P01", ["P01", "p1"])
    (['p1'], ['P01'])
    """
    known = list(among)
    return [name] if name in known else [x for x in known if person(x) == person(name)]


def by_person(names: Iterable[str]) -> list[list[str]]:
    """The spellings of each patient, patients and spellings in order of first appearance.

    >>> by_person(["P1", "b", "p01", "b"])
    [['P1', 'p01'], ['b']]
    """
    people: dict[str, dict[str, None]] = {}
    for name in names:
        people.setdefault(person(name), {})[name] = None
    return [list(own) for own in people.values()]


def count_people(names: Iterable[str]) -> int:
    """How many patients some names are of, each in any spelling."""
    return len(by_person(names))


def spelled_twice(placed: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Remarks on patients that may be one, written in several ways.

    Args:
        placed: (patient id, split) of the cases; the split may be "".
    """
    cases = list(placed)
    for names in by_person(patient_id for patient_id, _ in cases):
        if len(names) > 1:
            own = [split for name in names for patient_id, split in cases if patient_id == name]
            splits = list(dict.fromkeys(filter(None, own)))
            where = f" in {' and '.join(splits)}." if len(splits) > 1 else ""
            yield f"{' and '.join(names)}: one patient?{where} Write the name in one way."


def is_about_patients(note: str) -> bool:
    """Whether a note is one of `spelled_twice`."""
    return ": one patient?" in note
