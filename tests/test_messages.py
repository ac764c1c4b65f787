"""What processes tell each other comes back as it was, and is never code."""

import dataclasses
import json
import pickle
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.evaluation.scene import measured, sheet
from vfseg import messages
from vfseg.commands.workdir import Prepared
from vfseg.crops.store import CaseRecord, CropRecord
from vfseg.data.cases import Case
from vfseg.errors import UserError
from vfseg.evaluation.case_scores import CaseScores
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.messages import from_bytes, from_text, to_bytes, to_text


def same(one, other):
    """Whether values of any kind are equal, in type and to the last bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and (one == other).all()
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in _fields(one))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def _fields(record):
    return dataclasses.fields(record)


class Point(NamedTuple):
    name: str
    at: tuple[float, ...] = ()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, type(None)),
        (True, bool),
        (2**70, int),
        (0.1 + 0.2, float),
        (float("inf"), float),
        ("症例 'a' \\ \n", str),
        (None, Path | None),
        (Path("a/b"), Path | None),
        ((1, 2.5), tuple[int, float]),
        ((), tuple[int, ...]),
        ([{"loss": 1.5}, {}], list[dict[str, float]]),
        ([Point("a", (1.0, 2.0)), Point("b")], list[Point]),
        ({"anything": [1, None, {"a": "b"}]}, Any),
        (np.arange(6, dtype=np.int64).reshape(2, 3), np.ndarray),
        (np.zeros((0, 3), np.float32), np.ndarray),
        (np.array(True), np.ndarray),
        (ScoreHistogram(), ScoreHistogram),
    ],
    ids=str,
)
def test_values_come_back_as_they_were(value, kind):
    assert same(from_text(to_text(value), kind), value)


def test_an_array_that_came_can_be_added_to():
    came = from_text(to_text(ScoreHistogram()), ScoreHistogram)
    came.counts += 1
    assert came.counts.sum() == came.counts.size


def test_the_scores_of_a_case_come_back_as_they_were():
    """With every measure of it; the numbers of its lists may be NumPy's, and come as Python's."""
    truth = sheet(6, 28)
    scores = measured(truth, np.where(truth > 0, 0.9, 0.1))
    known = dataclasses.replace(scores.case, ct=Path("ct.nii.gz"), boxes=Path("boxes.csv"))
    scores = dataclasses.replace(scores, case=known)
    assert scores.lesions.lesions
    assert scores.lesion_rows
    assert scores.vertebra_rows
    (came,) = from_text(to_text([scores]), list[CaseScores])
    again = from_text(to_text([came]), list[CaseScores])
    assert same(again, [came])
    rows = ("lesion_rows", "vertebra_rows")
    for name in (field.name for field in dataclasses.fields(scores)):
        one, other = getattr(came, name), getattr(scores, name)
        assert one == other if name in rows else same(one, other), name


def test_prepared_cases_come_back_as_they_were():
    crop = CropRecord("L1", 20, (1, -2, 3), 7, {"axial": [1, 2]}, ("cut",), affine=((1.0,) * 4,))
    record = CaseRecord("a", "p", "f", 1.5, (4, 4, 4), (crop,))
    case = Case("a", "p", Path("ct.nii.gz"), split="test")
    prepared = Prepared((case,), {"train": (), "test": (record,)}, ("b: why",))
    assert same(from_text(to_text(prepared), Prepared), prepared)


def test_a_pickle_is_no_message(tmp_path):
    class Call:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "called",)

    with pytest.raises(ValueError, match=r"."):
        from_text(pickle.dumps(Call(), 0).decode(), list[int])
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("value", [object(), {1: "a"}, np.array([object()]), {1, 2}, b"bytes"])
def test_what_no_message_can_hold_is_refused_where_it_is_sent(value):
    with pytest.raises(TypeError, match="cannot be sent"):
        to_text(value)


_ARRAY = {"dtype": "<f4", "shape": [1], "content": "AAAAAA=="}


@pytest.mark.parametrize(
    ("plain", "kind"),
    [
        ("1", int),
        (1.5, int),
        (True, int),
        (1, bool),
        (None, int),
        ([1, 2, 3], tuple[int, int]),
        ([["a"]], list[Point]),
        ({"a": 1}, list[int]),
        ([1], dict[str, int]),
        (["a", [1.0, "x"]], Point),
        ({**_ARRAY, "dtype": "|O8"}, np.ndarray),
        ({**_ARRAY, "shape": [2]}, np.ndarray),
        ({**_ARRAY, "content": 5}, np.ndarray),
        ({}, np.ndarray),
        ({**_ARRAY, "dtype": "<f7"}, np.ndarray),
        ({**_ARRAY, "shape": [None]}, np.ndarray),
    ],
    ids=str,
)
def test_a_message_of_another_kind_is_refused_where_it_is_read(plain, kind):
    with pytest.raises(ValueError, match=r"."):
        from_text(json.dumps(plain), kind)


def test_lists_in_lists_are_no_message():
    with pytest.raises(ValueError, match="a message that is none"):
        from_text("[" * 10**5, list[int])


def test_a_message_comes_back_from_its_bytes():
    value = [np.arange(1000), "text"]
    came = from_bytes(to_bytes(value), tuple[np.ndarray, str])
    assert same(came, tuple(value))


def test_a_message_that_is_too_large_is_refused_where_it_is_sent_and_where_it_is_read(monkeypatch):
    """A text of n letters is a message of n + 2 bytes: there are the quotes."""
    fits, small = "a" * 998, zlib.compress(b'"' + b"a" * 10**6 + b'"')
    monkeypatch.setattr(messages, "LARGEST", 1000)
    assert from_bytes(to_bytes(fits), str) == fits
    with pytest.raises(UserError, match="more processes, or fewer cases"):
        to_bytes(fits + "a")
    assert len(small) < 1000
    with pytest.raises(ValueError, match="a message of more than"):
        from_bytes(small, str)


@pytest.mark.parametrize("content", [b"", b"text", zlib.compress(b'"abc"')[:-1]])
def test_bytes_that_are_no_message_are_refused(content):
    with pytest.raises(ValueError, match="a message that is none"):
        from_bytes(content, str)
