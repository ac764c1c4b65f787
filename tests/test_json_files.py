"""JSON is read back as it was written, or what is wrong with it is said."""

import json
import math

import pytest

from vfseg.errors import UserError
from vfseg.json_files import read_json, sealed, unsealed, write_json

CONTENT = {"step": 12, "loss": 0.328125, "bad": math.nan, "rule": "Youden’s", "none": None}


def test_json_is_read_as_it_was_written_and_damage_is_named(tmp_path):
    path = tmp_path / "a.json"
    assert read_json(path) is None
    write_json(path, {"a": [1, 2.5, None]})
    assert read_json(path) == {"a": [1, 2.5, None]}
    for content in (b"{", b"", b"\xff", b"[" * 100_000, b"9" * 5000, b'{"a\\ud800": 1}'):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.json: damaged .* Delete it"):
            read_json(path)


def test_what_was_sealed_comes_back(tmp_path):
    write_json(tmp_path / "f.json", sealed(CONTENT))
    assert repr(read_json(tmp_path / "f.json")) == repr(CONTENT)
    assert unsealed(CONTENT) is CONTENT, "of an earlier version"


def test_another_number_in_what_was_sealed_is_noticed(tmp_path):
    """Whichever digit it is: such a file reads well otherwise."""
    text = json.dumps(sealed(CONTENT))
    places = [place for place, letter in enumerate(text) if letter.isdigit()]
    assert len(places) > 20
    for place in places:
        other = str((int(text[place]) + 1) % 10)
        (tmp_path / "f.json").write_text(text[:place] + other + text[place + 1 :])
        if text[place - 3 : place] in ("crc", "rc3"):  # then it is a name like any other
            continue
        with pytest.raises(UserError, match=r"f\.json: damaged \(not as it was written"):
            read_json(tmp_path / "f.json")
