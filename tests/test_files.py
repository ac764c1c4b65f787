"""Files that appear complete or not at all, leftovers, full disks, and tables."""

import contextlib
import csv
import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.full_disk import no_file_beyond
from vfseg.errors import CannotWrite, UserError
from vfseg.files import (
    atomic_file,
    check_new_file,
    check_there,
    full_disk_named,
    gone_if_empty,
    make_sure_of,
    make_sure_of_room,
    read_table,
    sweep,
    unfinished,
    write_table,
)
from vfseg.json_files import write_json


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


def test_what_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    """After a power cut the file under its name is whole, and the name is there."""
    events, fsync, replace = [], os.fsync, os.replace

    def named(descriptor):
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(named(fd)), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("named"), replace(a, b)))
    write_json(tmp_path / "folder" / "f", 1)
    assert events == [f".f.{os.getpid()}.part", "named", "folder"]


def test_leftovers_of_killed_runs_are_swept_and_nothing_else(tmp_path):
    names = (
        *(".f.12.part", "a/.g.csv.3.part", "a/b/.h.4.part", "a/.case.5.part/ct/x"),  # leftovers
        *("f", ".f.part", "f.12.part", "a/g", ".hidden", "other/.f.12.part", ".f.12.part.txt"),
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    sweep(tmp_path, "a", "absent")
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(names[4:])
    assert not (tmp_path / "a" / ".case.5.part").exists()
    sweep(tmp_path / "absent")


def test_a_killed_process_leaves_what_is_swept(tmp_path):
    with atomic_file(tmp_path / "f") as file:
        file.write(b"half")
        file.flush()
        (leftover,) = (path.name for path in tmp_path.iterdir())
    (tmp_path / leftover).write_bytes(b"half")
    assert unfinished(tmp_path / "f").name == leftover
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"f"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_anywhere_is_named(number):
    with (
        pytest.raises(CannotWrite, match=r"x/y: cannot be written .* Make room"),
        full_disk_named(),
    ):
        raise OSError(number, os.strerror(number), "x/y")


def test_other_errors_are_not_a_full_disk():
    with pytest.raises(PermissionError), full_disk_named():
        raise PermissionError(errno.EACCES, "no", "x")


def test_a_file_that_finds_no_room_is_named_and_leaves_nothing(tmp_path):
    with (
        no_file_beyond(10),
        pytest.raises(CannotWrite, match=r"f: cannot be written \(File too large\)"),
    ):
        write_json(tmp_path / "f", list(range(100)))
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    rows = [{"a": "one, two", "b": 1.5, "c": None}, {"a": 'said "x"', "b": 2, "c": ""}]
    write_table(tmp_path / "t.csv", rows)
    columns, read = read_table(tmp_path / "t.csv")
    assert columns == ["a", "b", "c"]
    assert [row.line for row in read] == [2, 3]
    assert [list(row.cells.values()) for row in read] == [
        ["one, two", "1.5", ""],
        ['said "x"', "2", ""],
    ]


FORMULAS = ["=1+1", "+A1", "-A1", "@SUM(A1)", "-2+3", "=", " =1", "＝1+1", "'=1", "''", "'-1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_compute_is_written_as_text(tmp_path, text):
    """One that begins with an apostrophe is text there; read back, it is what it was."""
    write_table(tmp_path / "t.csv", [{"a": text, "b": "c"}])
    with open(tmp_path / "t.csv", newline="") as file:
        written = list(csv.reader(file))[1][0]
    assert written.lstrip()[0] not in "=+-@＝"
    assert read_table(tmp_path / "t.csv")[1][0].cells["a"] == text


@pytest.mark.parametrize("value", ["-1", "+1.5e-3", "-inf", -2, -0.5, "a=b", "it's", "'", ""])
def test_numbers_and_other_texts_are_written_as_they_are(tmp_path, value):
    write_table(tmp_path / "t.csv", [{"a": value, "b": "c"}])
    assert (tmp_path / "t.csv").read_text() == f"a,b\n{value},c\n"
    assert read_table(tmp_path / "t.csv")[1][0].cells["a"] == str(value)


def test_texts_that_differ_are_written_differently(tmp_path):
    texts = ["=1", "'=1", "''=1", "'' =1", "1", "'1", "-1", "'-1"]
    write_table(tmp_path / "t.csv", [{"a": text} for text in texts])
    assert [row.cells["a"] for row in read_table(tmp_path / "t.csv")[1]] == texts


def test_that_files_can_be_written_leaves_nothing(tmp_path):
    make_sure_of(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    make_sure_of(tmp_path / "a")
    assert not list((tmp_path / "a").iterdir())


@pytest.mark.parametrize("name", ["ct.nii", "series", "series#1.2", "a#b", "a#b#1.2", "x" * 300])
def test_what_is_there_or_is_for_others_to_refuse_is_not_missing(tmp_path, name):
    (tmp_path / "ct.nii").touch()
    (tmp_path / "series").mkdir()
    (tmp_path / "a#b").mkdir()
    check_there(str(tmp_path / name))


@pytest.mark.parametrize("name", ["none.nii", "none#1.2", "in/none.nii"])
def test_where_there_is_nothing_that_is_said(tmp_path, name):
    with pytest.raises(UserError, match=f"{name}: no such file or folder"):
        check_there(str(tmp_path / name))


def test_folders_that_nobody_used_go_again_whatever_happens(tmp_path):
    """A file that stays keeps all that it lies in; what was there before stays, empty or not."""
    (tmp_path / "there").mkdir()
    for name, made in (("there/new/deep", ()), ("a/b", ("a/kept",)), ("c", ("c/b/kept",))):
        with pytest.raises(KeyError), gone_if_empty(tmp_path / name):  # noqa: PT012
            (tmp_path / name).mkdir(parents=True)
            for file in made:
                (tmp_path / file).parent.mkdir(exist_ok=True)
                (tmp_path / file).touch()
            raise KeyError
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"there", "a", "a/kept", "c", "c/b", "c/b/kept"}


@pytest.mark.parametrize(
    ("name", "overwrite", "said"),
    [
        ("a.txt", False, r"-o .*a\.txt: a page ends in \.html\. Name one"),
        ("there.html", False, r"there\.html: stands already\. .* --overwrite"),
        ("there.html", True, None),
        ("new.HTML", False, None),
    ],
)
def test_an_output_that_is_one_new_file(tmp_path, name, overwrite, said):
    (tmp_path / "there.html").touch()
    with contextlib.nullcontext() if said is None else pytest.raises(UserError, match=said):
        check_new_file(tmp_path / name, ".html", "a page", overwrite=overwrite)


@pytest.mark.parametrize("folder", ["", "not/yet"])
def test_a_disk_with_too_little_room_is_said_before(tmp_path, monkeypatch, folder):
    asked = []
    room = SimpleNamespace(free=2_500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or room)
    make_sure_of_room(tmp_path / folder, 2_500_000_000, "the maps")
    with pytest.raises(CannotWrite, match=r"2\.5 GB are free there, and the maps take .* 2\.6"):
        make_sure_of_room(tmp_path / folder, 2_600_000_000, "the maps")
    assert asked == [tmp_path, tmp_path]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_to_stay_stays_and_is_empty(tmp_path):
    make_sure_of(tmp_path / "a" / "b", stays=True)
    assert list((tmp_path / "a").rglob("*")) == [tmp_path / "a" / "b"]


def test_that_they_cannot_is_said(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(UserError, match=r"cannot be written .* Choose a folder"):
            make_sure_of(folder)
    with no_file_beyond(1000), pytest.raises(UserError, match=r"File too large.*has space left"):
        make_sure_of(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_tables_as_spreadsheets_write_them(tmp_path):
    """A byte order mark, Windows' line ends, spaces, empty lines, cells of several lines."""
    text = 'a , b\r\n\r\n 1, "x\r\ny" \r\n,,\r\n2\r\n3,4,5,\r\n'
    (tmp_path / "t.csv").write_bytes(text.replace('" ', '"').encode("utf-8-sig"))
    columns, rows = read_table(tmp_path / "t.csv")
    assert columns == ["a", "b"]
    assert [(row.line, row.width) for row in rows] == [(3, 2), (6, 1), (7, 4)]
    assert [row.cells["a"] for row in rows] == ["1", "2", "3"]
    assert [row.cells["b"].split() for row in rows] == [["x", "y"], [], ["4"]]


def test_an_empty_file_has_no_columns(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"")
    assert read_table(tmp_path / "t.csv") == ([], [])


UNREADABLE = {
    "quotes": (b'a,b\n1,2\n3,"4\n', "line 3 is not CSV"),
    "more after quotes": (b'a,b\n"1"2,3\n', "line 2 is not CSV"),
    "binary": (b"\xff\xfe\x00\x01", "not UTF-8 text. Save the list as CSV"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_table_is_named(tmp_path, name):
    content, message = UNREADABLE[name]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_table(tmp_path / "t.csv", "list")
    assert str(tmp_path / "t.csv") in str(caught.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no\.csv: no such list\. Check the path"):
        read_table(tmp_path / "no.csv", "list")
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path, "list")
