"""Damage of a checkpoint is looked for once, and again where a file changed."""

import os

import pytest

from vfseg.digests import write_digests
from vfseg.training import damage as module
from vfseg.training.damage import damage_of


@pytest.fixture
def looked(monkeypatch):
    """The folders whose files were read through."""
    folders, genuine = [], module.damage
    monkeypatch.setattr(module, "damage", lambda at: folders.append(at.name) or genuine(at))
    return folders


@pytest.fixture
def checkpoint(tmp_path):
    """Files of some kind, with their digests; damage is a matter of bytes alone."""
    (tmp_path / "2" / "state").mkdir(parents=True)
    (tmp_path / "2" / "state" / "arrays").write_bytes(bytes(100))
    write_digests(tmp_path / "2")
    return tmp_path / "2"


def test_for_as_long_as_its_files_stay_as_they_are(checkpoint, looked):
    # Asked for its config, to go on from it, and to be restored.
    assert [damage_of(checkpoint) for _ in range(3)] == [""] * 3
    assert looked == ["2"]


@pytest.mark.parametrize("change", ["content", "time", "another file"])
def test_a_change_is_looked_into(checkpoint, looked, change):
    arrays = checkpoint / "state" / "arrays"
    assert damage_of(checkpoint) == ""
    if change == "content":
        arrays.write_bytes(bytes(99) + b"1")
    elif change == "time":
        os.utime(arrays, ns=(1, 1))
    else:
        (checkpoint / "validation.json").write_text("{}")
    wrong = "state/arrays is not as it was written" if change == "content" else ""
    assert damage_of(checkpoint) == wrong
    assert looked == ["2", "2"]


def test_a_folder_that_cannot_be_looked_at_is_damaged(checkpoint, monkeypatch):
    def gone(_):
        raise FileNotFoundError(2, "No such file or directory", "arrays")

    monkeypatch.setattr(module, "marks_of", gone)
    assert damage_of(checkpoint) == "arrays cannot be read (No such file or directory)"
