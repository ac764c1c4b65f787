"""What reaches the terminal, and what a log file keeps."""

import logging as standard
import sys

import pytest
from absl import flags as absl_flags
from absl import logging
from absl.testing import flagsaver

from vfseg.commands import logs
from vfseg.commands.flags import FLAGS
from vfseg.errors import UserError
from vfseg.main import main


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """The log of this process is as it was."""
    root, own = standard.root.level, logging.get_absl_logger().level
    handlers, verbosity = list(standard.root.handlers), logging.get_verbosity()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    yield
    logs.close()
    logging.set_verbosity(verbosity)
    standard.root.handlers[:] = handlers
    standard.root.setLevel(root)
    logging.get_absl_logger().setLevel(own)


def line(level, own):
    """A line of ours, or of a library."""
    path = logs.__file__ if own else "/usr/lib/python3/nibabel/x.py"
    name = standard.getLevelName(level)
    return standard.makeLogRecord(
        {"levelno": level, "levelname": name, "pathname": path, "msg": "words"}
    )


@pytest.mark.parametrize(
    ("given", "own", "others"),
    [
        ({}, standard.INFO, standard.WARNING),
        ({"quiet": True}, standard.WARNING, standard.WARNING),
        ({"verbose": True}, standard.DEBUG, standard.INFO),
    ],
)
def test_lines_are_shown_from_their_level_on(given, own, others):
    logs.prepare(**{"quiet": False, "verbose": False, "file": None} | given)
    handler = logging.get_absl_handler()
    for level in (standard.DEBUG, standard.INFO, standard.WARNING):
        assert bool(handler.filter(line(level, own=True))) == (level >= own)
        assert bool(handler.filter(line(level, own=False))) == (level >= others)
    assert sys.stderr.isatty() != ("quiet" in given), "bars look there"


def test_no_line_is_preceded_by_one_about_flags(monkeypatch, capsys):
    """Which absl writes before the first line, as long as its own flags were never read."""
    absl_flags.FLAGS.unparse_flags()
    monkeypatch.setattr(logging, "_warn_preinit_stderr", True)
    logs.prepare(quiet=False, verbose=False, file=None)
    monkeypatch.setattr(logging.get_absl_handler().python_handler, "stream", sys.stderr)
    standard.root.handle(line(standard.WARNING, own=False))
    assert capsys.readouterr().err == "words\n"


def test_a_file_keeps_the_whole_log_and_what_is_printed(tmp_path, capsys):
    path = tmp_path / "new" / "run.log"
    logs.prepare(quiet=True, verbose=False, file=path)
    standard.root.handle(line(standard.DEBUG, own=True))
    print("a result\nof two lines")
    logs.note("what it ended with")
    logs.close()
    print("afterwards")
    kept = [text.split(" ", 2)[2] for text in path.read_text().splitlines()]
    assert kept == [
        "DEBUG words",
        "PRINTED a result",
        "PRINTED of two lines",
        "ENDED what it ended with",
    ]
    assert capsys.readouterr().out == "a result\nof two lines\nafterwards\n", "as without a file"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--log-file .*run\.log: cannot be written"):
        logs.prepare(quiet=False, verbose=False, file=tmp_path / "file" / "run.log")


def test_the_program_keeps_what_it_ends_with(tmp_path, capsys):
    path, before = tmp_path / "run.log", flagsaver.save_flag_values(FLAGS)
    words = ["predict", str(tmp_path / "none.nii"), "--boxes=b.csv", f"-o={tmp_path / 'out'}"]
    try:
        assert main(["vfseg", *words, "--log-file", str(path)]) == 2
    finally:
        flagsaver.restore_flag_values(before, FLAGS)
    (line,) = path.read_text().splitlines()
    assert f"ENDED {tmp_path / 'none.nii'}: no such file" in line
    assert capsys.readouterr().err == f"vfseg: {line.partition('ENDED ')[2]}\n"


def test_what_nobody_foresaw_stands_in_the_file_too(tmp_path, monkeypatch):
    def fails(_):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("vfseg.commands.request.look_at", fails)
    path, before = tmp_path / "run.log", flagsaver.save_flag_values(FLAGS)
    words = ["predict", str(tmp_path), f"--boxes={tmp_path}", f"-o={tmp_path / 'out'}"]
    try:
        with pytest.raises(RuntimeError, match="unforeseen"):
            main(["vfseg", *words, "--log-file", str(path)])
    finally:
        flagsaver.restore_flag_values(before, FLAGS)
    assert "RuntimeError: unforeseen" in path.read_text()
