"""What processes tell each other: plain values, arrays and records of them as text; no code.

Pickled, a message could make its reader call anything, and whoever reaches the port of a run can
send one. Here the reader says which kind of value it expects, and gets one of that kind or an
error: numbers, texts, paths, arrays; tuples, lists and dicts; dataclasses and named tuples, whose
annotations say what their fields hold. On its way a message is compressed (`to_bytes`), and there
is a largest one, so that a few bytes do not unpack to more than the memory holds.
"""

import base64
import dataclasses
import json
import types
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from vfseg.errors import UserError

Value = TypeVar("Value")

_PLAIN = (bool, int, float, str, type(None))
LARGEST = 2**32
"""Most bytes of a message as text, 4 GiB: the scores of about a thousand cases, 4 MB each."""

_NUMBERS = "biuf"  # kinds of arrays, see `numpy.dtype.kind`


def to_bytes(value: Any) -> bytes:
    """The message that `from_bytes` reads, exactly: `to_text`, compressed.

    Raises:
        TypeError: it holds something that no message can.
        UserError: it is larger than `LARGEST`.
    """
    content = to_text(value).encode()
    if len(content) > LARGEST:
        raise UserError(
            f"a process has {len(content) / 2**30:.3g} GiB to tell the others, and "
            f"{LARGEST / 2**30:.3g} are the most. Give the run more processes, or fewer cases."
        )
    return zlib.compress(content, 1)


def from_bytes(content: bytes, kind: type[Value] | Any) -> Value:
    """What a message says that came compressed.

    Args:
        content: of the message.
        kind: as `from_text`.

    Raises:
        ValueError: it holds anything else, or more than `LARGEST` bytes.
    """
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(content, LARGEST + 1)
    except zlib.error as error:
        raise ValueError(f"a message that is none: {error}") from error
    if len(text) > LARGEST:
        raise ValueError(f"a message of more than {LARGEST / 2**30:.3g} GiB")
    if not reader.eof:
        raise ValueError("a message that is none: its end is missing")
    return from_text(text.decode(), kind)


def to_text(value: Any) -> str:
    """The message that `from_text` reads, exactly: a value of floats comes back to the last bit.

    Raises:
        TypeError: it holds something that no message can.
    """
    return json.dumps(_plain(value))


def from_text(text: str, kind: type[Value] | Any) -> Value:
    """What a message says.

    Args:
        text: of the message.
        kind: what it holds: a type, or a form of them as annotations have it. What it leaves open
            (`Any`) comes back as JSON has it.

    Raises:
        ValueError: it holds anything else.
    """
    try:
        return _read(json.loads(text), kind)
    except (TypeError, RecursionError) as error:  # of an array that is none, of lists in lists
        raise ValueError(f"a message that is none: {error}") from error


def _plain(value: Any) -> Any:
    """A value as JSON; of records and arrays, what `_read` needs to make them again."""
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _NUMBERS:
            raise TypeError(f"an array of {value.dtype} cannot be sent")
        content = base64.b64encode(value.tobytes()).decode()
        return {"dtype": value.dtype.str, "shape": value.shape, "content": content}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):  # named tuples are, too
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _read(plain: Any, kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return plain
    if origin in (Union, types.UnionType):
        if plain is None and type(None) in inner:
            return None
        (kind,) = (option for option in inner if option is not type(None))
        return _read(plain, kind)
    if kind is None or kind in _PLAIN:
        return _checked(plain, (float, int) if kind is float else kind)
    if kind is Path:
        return Path(_checked(plain, str))
    if kind is np.ndarray:
        return _array(_checked(plain, dict))
    if origin is list:
        return [_read(item, inner[0]) for item in _checked(plain, list)]
    if origin in (dict, Mapping):
        return {key: _read(item, inner[1]) for key, item in _checked(plain, dict).items()}
    if origin is tuple and inner[1:] == (...,):
        return tuple(_read(item, inner[0]) for item in _checked(plain, list))
    if origin is tuple:
        return tuple(_each(plain, inner))
    hints = get_type_hints(kind)
    names = _names_of(kind)
    return kind(**dict(zip(names, _each(plain, [hints[name] for name in names]), strict=True)))


def _names_of(kind: Any) -> Sequence[str]:
    """Fields of a record."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return kind._fields


def _each(plain: Any, kinds: Sequence[Any]) -> list[Any]:
    if len(_checked(plain, list)) != len(kinds):
        raise ValueError(f"{len(plain)} values where {len(kinds)} were expected")
    return [_read(item, kind) for item, kind in zip(plain, kinds, strict=True)]


def _array(plain: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(_checked(plain.get("dtype"), str))
    if dtype.kind not in _NUMBERS:
        raise ValueError(f"an array of {dtype}")
    content = base64.b64decode(_checked(plain.get("content"), str))
    return np.frombuffer(content, dtype).reshape(_checked(plain.get("shape"), list)).copy()


def _checked(plain: Any, kind: Any) -> Any:
    known = type(None) if kind is None else kind
    if not isinstance(plain, known) or (isinstance(plain, bool) and kind is not bool):
        raise ValueError(f"a {type(plain).__name__} where {kind} was expected")
    return plain
