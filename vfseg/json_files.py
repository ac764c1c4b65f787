"""JSON that this program writes and reads back: whole, and where it matters with a checksum."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vfseg.errors import UserError
from vfseg.files import atomic_file

_SEAL = "crc32"


def parse_json(text: str | bytes) -> Any:
    """What JSON says; its texts are such as can be written again.

    Raises:
        ValueError: it is none, or holds half a character, which no file or terminal takes.
        RecursionError: lists in lists without end.
    """
    content = json.loads(text)
    json.dumps(content, ensure_ascii=False).encode()
    return content


def read_json(path: Path, remedy: str = "Delete it, and run again.") -> Any:
    """Content of a JSON file that this program wrote, unsealed; None where there is none.

    Args:
        path: of the file.
        remedy: what to do where it is damaged.

    Raises:
        UserError: it is damaged.
    """
    try:
        return unsealed(parse_json(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}). {remedy}") from error


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A content for JSON with a checksum of itself: another number in it is noticed, too."""
    return {**content, _SEAL: _checksum(content)}


def unsealed(content: Any) -> Any:
    """What was sealed, without its checksum; what has none, as of earlier versions, is believed.

    Raises:
        ValueError: it is not as it was.
    """
    if not isinstance(content, dict) or _SEAL not in content:
        return content
    rest = {name: value for name, value in content.items() if name != _SEAL}
    if content[_SEAL] != _checksum(rest):
        raise ValueError(f"not as it was written: its {_SEAL} is another one")
    return rest


def _checksum(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def write_json(path: Path, content: Any) -> None:
    """Writes JSON. Raises `UserError` where it cannot be written."""
    with atomic_file(path) as file:
        file.write(json.dumps(content, indent=2).encode())
