"""A folder is one run's alone; a lock goes with its process, however that ends."""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from vfseg.errors import CannotWrite, UserError
from vfseg.locks import RUN, kept_for_run, locked, release_all

_HOLD = """
import sys, time
from pathlib import Path
from vfseg import locks
folder, name, lock = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with getattr(locks, lock)(folder):
    (folder / name).write_text("begun")
    (folder / "log").open("a").write(f"{name} in\\n")
    while name == "first" and not (folder / "go").exists():
        time.sleep(0.02)
    (folder / "log").open("a").write(f"{name} out\\n")
"""


def _holder(folder, name, lock="locked"):
    return subprocess.Popen([sys.executable, "-c", _HOLD, str(folder), name, lock])


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


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path):
    """The message names the first one, which notices nothing; killed, it holds nobody up."""
    first = _holder(tmp_path, "first", "kept_for_run")
    _until(tmp_path / "first")
    said = rf"another run works here \(host {re.escape(socket.gethostname())}, process {first.pid},"
    with pytest.raises(UserError, match=said + r" since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"):
        kept_for_run(tmp_path).__enter__()
    assert json.loads((tmp_path / RUN).read_text())["process"] == first.pid
    first.kill()
    first.wait()
    assert json.loads((tmp_path / RUN).read_text())["process"] == first.pid, "it left its word"
    with kept_for_run(tmp_path):
        assert json.loads((tmp_path / RUN).read_text())["process"] == os.getpid()
    assert not (tmp_path / RUN).exists()


def test_a_run_that_waits_on_a_file_that_is_removed_takes_the_next_one(tmp_path, monkeypatch):
    """Between opening the file and locking it the other run may end."""
    (tmp_path / RUN).touch()
    flock, removed = fcntl.flock, []

    def late(file, how):
        if not removed:
            removed.append((tmp_path / RUN).unlink())
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with kept_for_run(tmp_path), pytest.raises(UserError, match="another run works here"):
        kept_for_run(tmp_path).__enter__()


def test_of_a_run_on_another_host_it_is_said_how_to_remove_its_word(tmp_path):
    path = tmp_path / RUN
    path.write_text('{"host": "node17", "process": 5, "started": "2026-01-02 03:04:05+00:00"}')
    said = (
        r"host node17, process 5, since 2026-01-02 03:04:05.* no longer alive, delete .*\.run\.lock"
    )
    with pytest.raises(UserError, match=said):
        kept_for_run(tmp_path).__enter__()
    path.unlink()
    with kept_for_run(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\x00", b"7"])
def test_a_word_that_was_cut_short_is_that_of_a_killed_run(tmp_path, content):
    (tmp_path / RUN).write_bytes(content)
    with kept_for_run(tmp_path):
        assert json.loads((tmp_path / RUN).read_text())["process"] == os.getpid()


def test_a_run_that_ends_without_unwinding_gives_its_folders_back(tmp_path):
    """As many processes end together: see `processes.leave`."""
    with kept_for_run(tmp_path / "a"), kept_for_run(tmp_path / "b"):
        release_all()
        assert not list(tmp_path.rglob(RUN))


def test_what_goes_wrong_inside_gives_the_folder_back(tmp_path):
    def fail():
        with kept_for_run(tmp_path):
            raise RuntimeError("stop")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="stop"):
            fail()
    assert not (tmp_path / RUN).exists()


@pytest.mark.parametrize("lock", [locked, kept_for_run])
def test_a_folder_in_which_nothing_was_made_goes_again(tmp_path, lock):
    """And so does the one that it lies in."""
    (tmp_path / "standing").mkdir()
    for name, made, left in (("in/a", "", False), ("standing", "", True), ("in/c", "result", True)):
        with lock(tmp_path / name):
            (tmp_path / name / made).touch()
        assert (tmp_path / name).exists() == left
        assert (tmp_path / "in").exists() == (name == "in/c")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["result"]


def test_who_waits_for_a_file_that_is_removed_is_alone_all_the_same(tmp_path, monkeypatch):
    """Who was inside removed it: a third one would open, and have, another file."""
    flock, waited = fcntl.flock, []

    def removed(file, how):
        if not waited:
            waited.append((tmp_path / ".lock").unlink())
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", removed)
    with locked(tmp_path), open(tmp_path / ".lock") as file, pytest.raises(BlockingIOError):
        flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert waited


@pytest.mark.parametrize("lock", [locked, kept_for_run])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, lock):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CannotWrite, match=r"file/folder/\.\S*lock: cannot be written"),
        lock(tmp_path / "file" / "folder"),
    ):
        pass
