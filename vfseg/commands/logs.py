"""Where the lines of a run go: the terminal, and a file that keeps all of them."""

import contextlib
import logging as standard
import os
import sys
from pathlib import Path
from typing import Any

from absl import flags, logging

from vfseg.errors import UserError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_opened = contextlib.ExitStack()


def prepare(*, quiet: bool, verbose: bool, file: Path | None) -> None:
    """Shows our own lines from INFO on and those of libraries from WARNING on, as plain text.

    Args:
        quiet: only warnings, and no bars.
        verbose: our own lines from DEBUG on, and those of libraries from INFO on.
        file: gets all of these, with the time, and what is printed; it is added to.

    Raises:
        UserError: the file cannot be written.
    """
    flags.FLAGS.mark_as_parsed()  # absl's, which we have none of; else it warns at the first line
    logging.use_absl_handler()
    everything = verbose or file is not None
    logging.set_verbosity(logging.DEBUG if everything else logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(standard.Formatter("%(message)s"))
    if quiet:
        shown = standard.WARNING, standard.WARNING
        sys.stderr.isatty = lambda: False  # type: ignore[method-assign]  # where bars look
    elif verbose:
        shown = standard.DEBUG, standard.INFO
    else:
        shown = standard.INFO, standard.WARNING
    handler.filters = [_from(*shown)]
    if file is not None:
        _keep(file)


def note(line: str) -> None:
    """Writes a line to the file alone, where there is one: the terminal has it already."""
    for handler in standard.root.handlers:
        if isinstance(handler, standard.FileHandler):
            handler.handle(_record(line, "ENDED"))


def close() -> None:
    """Closes the file."""
    _opened.close()


def _from(own: int, others: int) -> Any:
    """Lets our own lines pass from one level on, and those of libraries from another one on."""

    def is_shown(record: standard.LogRecord) -> bool:
        ours = record.pathname.startswith(_PACKAGE)
        if not ours and record.exc_info:  # of a device that does not start, say: no traceback
            record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]}", ()
            record.exc_info = record.exc_text = None
        return record.levelno >= (own if ours else others)

    return is_shown


def _record(line: str, kind: str) -> standard.LogRecord:
    return standard.makeLogRecord({"msg": line, "levelname": kind, "levelno": standard.ERROR})


def _keep(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = standard.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--log-file {path}: cannot be written ({error.strerror or error}). Name another file."
        ) from error
    handler.setFormatter(standard.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_from(standard.DEBUG, standard.INFO))
    standard.root.addHandler(handler)
    _opened.callback(standard.root.removeHandler, handler)
    _opened.callback(handler.close)
    _opened.enter_context(contextlib.redirect_stdout(_Twice(sys.stdout, handler)))


class _Twice:
    """A stream whose lines go to a log file, too."""

    def __init__(self, stream: Any, handler: standard.Handler):
        self._stream, self._handler, self._begun = stream, handler, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._handler.handle(_record(line, "PRINTED"))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
