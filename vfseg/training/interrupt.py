"""SIGTERM ends a run at a step that all processes agree on, with nothing lost.

A thread hears the signal at once, even while XLA compiles. It stops the beginning of new steps,
learns from the other processes which step each has begun, and names the last of them: every
process goes on to that step, saves, and ends with status 0. Where the newest checkpoint is no more
than one step behind there is nothing worth saving, and the thread ends the process right away: so
it is before training, in validation and while a step compiles, for the loop saves before these.
Where the step that was named is followed by a validation, the thread does not wait for its end.
"""

import signal
import socket
import threading
import time

from absl import logging

from vfseg import processes

_GRACE_SECONDS = 3


class Interrupt:
    """What the loop and the thread that hears SIGTERM tell each other."""

    def __init__(self):
        self._lock = threading.Lock()
        self._begun = self._saved = 0
        self._asked = False
        self._agreed = threading.Event()
        self._last = 0

    def listen(self) -> None:
        """Takes SIGTERM over, for as long as the process lives; from the main thread."""
        heard, told = socket.socketpair()
        told.setblocking(False)
        # The handler itself would wait for the interpreter; the byte is written at once.
        signal.signal(signal.SIGTERM, lambda *_: None)
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
            if not self._asked:
                self._begun = step + 1
                return False
        self._agreed.wait()
        return step >= self._last

    def _hear(self, signals: socket.socket) -> None:
        """Waits for SIGTERM here or on another process."""
        if processes.count() == 1:
            _wait_for_sigterm(signals)
        else:
            threading.Thread(target=_pass_on, args=(signals,), daemon=True).start()
            while processes.heard("sigterm", 3600) is None:
                pass
        with self._lock:
            self._asked = True
            position = self._begun, self._saved
        positions = processes.gather(position, "positions at sigterm")
        if all(begun - saved <= 1 for begun, saved in positions):
            if processes.is_first():
                logging.info("SIGTERM: nothing to save; the same command continues")
            processes.leave(0)
        self._last = max(begun for begun, _ in positions)
        self._agreed.set()
        while self._saved < self._last:
            time.sleep(0.1)
        time.sleep(_GRACE_SECONDS)  # the loop ends by itself, but for a validation
        logging.info("SIGTERM: stopped after step %d; the same command continues", self._last)
        processes.leave(0)


def _wait_for_sigterm(signals: socket.socket) -> None:
    while signals.recv(1)[0] != signal.SIGTERM:
        pass


def _pass_on(signals: socket.socket) -> None:
    _wait_for_sigterm(signals)
    processes.tell("sigterm", "")


INTERRUPT = Interrupt()
"""Of this process; without `listen`, it never stops anything."""
