"""Files that appear complete or not at all, tables, and folders in which one process works."""

import csv
import subprocess
import sys
import time

import pytest

from tests.full_disk import no_file_beyond
from vfseg.errors import UserError
from vfseg.files import (
    atomic_file,
    locked,
    make_sure_of,
    read_json,
    read_table,
    write_json,
    write_table,
)


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
