"""Files appear complete or not at all, and one process at a time works in a folder."""

import subprocess
import sys
import time

import pytest

from vfseg.errors import UserError
from vfseg.files import atomic_file, locked, read_json, write_json


def test_atomic_file_keeps_the_old_one_on_failure(tmp_path):
    (tmp_path / "f").write_text("old")

    def fail_half_way():
        with atomic_file(tmp_path / "f") as file:
            file.write(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "old"


_HOLD = """
import sys, time
from pathlib import Path
from vfseg.files import locked
folder, name = Path(sys.argv[1]), sys.argv[2]
with locked(folder):
    (folder / name).write_text("begun")
    (folder / "log").open("a").write(f"{name} in\\n")
    while name == "first" and not (folder / "go").exists():
        time.sleep(0.02)
    (folder / "log").open("a").write(f"{name} out\\n")
"""


def _holder(folder, name):
    return subprocess.Popen([sys.executable, "-c", _HOLD, str(folder), name])


def _until(path):
    while not path.exists():
        time.sleep(0.02)


def test_one_process_at_a_time_works_in_a_folder(tmp_path):
    first = _holder(tmp_path, "first")
    _until(tmp_path / "first")
    second = _holder(tmp_path, "second")
    (tmp_path / "go").touch()
    assert (first.wait(), second.wait()) == (0, 0)
    lines = (tmp_path / "log").read_text().split("\n")[:4]
    assert lines == ["first in", "first out", "second in", "second out"]


def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path):
    first = _holder(tmp_path, "first")
    _until(tmp_path / "first")
    first.kill()
    first.wait()
    assert _holder(tmp_path, "second").wait() == 0


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file/folder/\.lock: cannot be written"),
        locked(tmp_path / "file" / "folder"),
    ):
        pass


def test_json_is_read_as_it_was_written_and_damage_is_named(tmp_path):
    path = tmp_path / "a.json"
    assert read_json(path) is None
    write_json(path, {"a": [1, 2.5, None]})
    assert read_json(path) == {"a": [1, 2.5, None]}
    path.write_text("{")
    with pytest.raises(UserError, match=r"a\.json: damaged .* Delete it"):
        read_json(path)
