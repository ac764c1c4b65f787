"""SIGTERM and SIGINT (control C) end a mode after the case at hand, with nothing lost.

For the modes that do one case after the other. Training has its own way, `training/interrupt.py`.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask a program to end."""


INTERRUPTED = "interrupted; what was finished is kept, and the same command does the rest"
"""What is said where the program ended at once."""


class Stopped(Exception):
    """The program ends because it was asked to; the message says what is kept.

    Attributes:
        status: to end with.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


def heeded() -> list[signal.Signals]:
    """Those of `STOPPING` that are not ignored on purpose, as `nohup` and shells' `&` do."""
    return [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]


def status_of(number: int) -> int:
    """The exit status that a signal stands for."""
    return 128 + number


class Stop:
    """Whether this process was asked to end; where it does not listen, it never was."""

    def __init__(self):
        self._asked: signal.Signals | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals over, in the main thread; each a second time ends at once."""
        before = {number: signal.signal(number, self._note) for number in heeded()}
        try:
            yield
        finally:
            self._asked = None
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether it was."""
        return self._asked is not None

    def after_case(self, kept: str) -> None:
        """Ends where the program was asked to.

        Args:
            kept: what stands of the work, and what the same command will do.

        Raises:
            Stopped: it was asked to.
        """
        if self._asked is not None:
            raise Stopped(f"{self._asked.name}: stopped. {kept}", status_of(self._asked))

    def _note(self, number: int, _frame: Any) -> None:
        self._asked = signal.Signals(number)
        at_once = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, at_once)
        # Not `print`: the signal may have come in the middle of one.
        os.write(2, f"vfseg: {self._asked.name}: ends after this case; again: at once\n".encode())


STOP = Stop()
"""Of this process."""
