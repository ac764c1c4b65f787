"""SIGTERM and SIGINT end a run at a step that all processes agree on, with nothing lost.

A thread hears the signal at once, even while XLA compiles. It stops the beginning of new steps,
learns from the other processes which step each has begun, and names the last of them: every
process goes on to that step, saves, and ends: with status 0 on SIGTERM, with which a cluster takes
a run off to go on with it later, and with 130 on SIGINT (control C). Where the newest checkpoint is
no more than one step behind there is nothing worth saving, and the thread ends the process right
away: so it is before training, in validation and while a step compiles, for the loop saves before
these. Where the step that was named is followed by a validation, the thread does not wait for its
end. A second SIGINT ends the process at once.
"""

import signal
import socket
import threading
import time

from absl import logging

from vfseg import processes
from vfseg.stopping import STOPPING, heeded, status_of

_GRACE_SECONDS = 3


class Interrupt:
    """What the loop and the thread that hears the signals tell each other."""

    def __init__(self):
        self._lock = threading.Lock()
        self._begun = self._saved = 0
        self._asked: signal.Signals | None = None
        self._agreed = threading.Event()
        self._last = 0

    def listen(self) -> None:
        """Takes SIGTERM and SIGINT over, for as long as the process lives; from the main thread."""
        heard, told = socket.socketpair()
        told.setblocking(False)
        # The handlers themselves would wait for the interpreter; the byte is written at once.
        for number in heeded():
            signal.signal(number, _once)
        signal.set_wakeup_fd(told.detach())
        threading.Thread(target=self._hear, args=(heard,), daemon=True).start()

    def saved(self, step: int) -> None:
        """A checkpoint of this step stands, and training has not begun one since.

        Nor has it where another fold, with no step made yet, follows a fold that is done.
        """
        with self._lock:
            self._saved = self._begun = step

    def stops_at(self, step: int) -> bool:
        """Whether training ends here, with `step` steps done; if not, the next one begins."""
        with self._lock:
            if self._asked is None:
                self._begun = step + 1
                return False
        self._agreed.wait()
        return step >= self._last

    @property
    def status(self) -> int:
        """The exit status, once the process was asked to end."""
        return status_of(signal.SIGINT) if self._asked == signal.SIGINT else 0

    def say(self) -> None:
        """Logs what is kept, once the last step is saved."""
        assert self._asked is not None
        text = "%s: stopped after step %d, which is saved; the same command continues"
        logging.info(text, self._asked.name, self._last)

    def _hear(self, signals: socket.socket) -> None:
        """Waits for a signal here or on another process."""
        if processes.count() == 1:
            number = _next(signals)
        else:
            threading.Thread(target=_pass_on, args=(signals,), daemon=True).start()
            heard = None
            while heard is None:
                heard = processes.heard("stop", 3600)
            number = signal.Signals(int(heard))
        with self._lock:
            self._asked = number
            position = self._begun, self._saved
        positions = processes.gather(position, tuple[int, int], "positions at the end")
        if all(begun - saved <= 1 for begun, saved in positions):
            if processes.is_first():
                text = "%s: nothing to save, what is finished is kept; the same command continues"
                logging.info(text, number.name)
            processes.leave(self.status)
        self._last = max(begun for begun, _ in positions)
        self._agreed.set()
        while self._saved < self._last:
            time.sleep(0.1)
        time.sleep(_GRACE_SECONDS)  # the loop ends by itself, but for a validation
        self.say()
        processes.leave(self.status)


def _once(number: int, _frame: object) -> None:
    if number == signal.SIGINT:
        signal.signal(number, signal.default_int_handler)


def _next(signals: socket.socket) -> signal.Signals:
    """Waits for one of the signals that end a run."""
    while (number := signals.recv(1)[0]) not in STOPPING:
        pass
    return signal.Signals(number)


def _pass_on(signals: socket.socket) -> None:
    processes.tell("stop", str(int(_next(signals))))


INTERRUPT = Interrupt()
"""Of this process; without `listen`, it never stops anything."""
