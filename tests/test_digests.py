"""Damage to any file of a folder is noticed; what joins the folder later only if it is named."""

import json

import pytest

from vfseg.digests import DIGESTS, add_digest, damage, has_digests, noticed, write_digests


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "deep" / "b").write_bytes(b"")
    write_digests(tmp_path)
    return tmp_path


def test_what_is_as_it_was_written_is_not_damaged(folder):
    assert has_digests(folder)
    (folder / "later").write_bytes(b"more")
    assert damage(folder) == ""


def test_what_changed_or_is_missing_is_named(folder):
    (folder / "a").write_bytes(b"Content")
    assert damage(folder) == "a is not as it was written"
    (folder / "a").unlink()
    assert damage(folder).startswith("a cannot be read")
    (folder / "a").write_bytes(b"content")
    (folder / "deep" / "b").write_bytes(b"\0")
    assert damage(folder) == "deep/b is not as it was written"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b"null", b'{"a": 3}', b"\xff", b'{"\\u0000": "x"}']
)
def test_damaged_digests_are_damage(folder, content):
    (folder / DIGESTS).write_bytes(content)
    assert damage(folder)


def test_a_file_that_is_left_out_of_the_digests_is_noticed(folder):
    content = json.loads((folder / DIGESTS).read_text())
    del content["files"]["a"]
    (folder / DIGESTS).write_text(json.dumps(content))
    assert damage(folder) == f"{DIGESTS} is not as it was written"


def test_a_folder_of_an_earlier_version_has_none(tmp_path):
    assert not has_digests(tmp_path)
    assert damage(tmp_path) == f"{DIGESTS} is missing"


def test_only_the_named_files_count_where_some_are_named(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    write_digests(tmp_path, ["a"])
    (tmp_path / "b").unlink()
    assert damage(tmp_path) == ""


def test_a_file_that_joined_later_counts_from_when_it_is_named(folder):
    (folder / "later").write_bytes(b"more")
    add_digest(folder, "later")
    assert damage(folder) == damage(folder, "later") == ""
    (folder / "later").write_bytes(b"less")
    assert damage(folder) == damage(folder, "later") == "later is not as it was written"
    assert damage(folder, "a") == damage(folder, "unnamed") == ""
    add_digest(folder, "later")
    assert damage(folder) == ""


def test_a_folder_without_digests_gets_none_by_one_more_file_and_is_believed(tmp_path):
    (tmp_path / "later").write_bytes(b"more")
    add_digest(tmp_path, "later")
    assert not has_digests(tmp_path)
    assert noticed(tmp_path) == ""


def test_a_folder_that_is_written_again_has_other_digests(folder):
    """Those of before are not among its files."""
    (folder / "a").write_bytes(b"other")
    assert noticed(folder) == "a is not as it was written"
    write_digests(folder)
    assert noticed(folder) == ""
