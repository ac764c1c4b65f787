"""The program as users start it, with something that happens to it at a moment of its work."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.cohort import ROOT
from tests.program import LONGEST

STOPPED = "stopped"


class Counts(NamedTuple):
    """Moments of a run in its folder, and bytes that it wrote there; see `moments.c`."""

    moments: int
    bytes: int


class Programs:
    """Starts programs; each begins as a copy of a process that has loaded everything."""

    def __init__(self, folder):
        library = folder / "moments.so"
        source = Path(__file__).with_name("moments.c")
        compiler = shutil.which("cc") or shutil.which("gcc")
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"],
            check=True,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            **{"cwd": ROOT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True},
            env={**os.environ, "LD_PRELOAD": str(library)},
        )

    def close(self):
        """Ends it."""
        with self._process:  # closes both pipes, and waits
            self._process.stdin.close()

    def start(self, arguments, folder, *, number=signal.SIGKILL, at=-1, room=-1):
        """Starts the program, which adds what it prints to `FOLDER.log`.

        Args:
            arguments: of the program.
            folder: in which moments count.
            number: of a signal that it is sent ...
            at: ... at this moment, from 0; never by default.
            room: bytes that the disk takes; as many as there are by default.

        Returns:
            The process id.
        """
        arm = [str(folder), int(number), at, room]
        return self._ask({"run": list(map(str, arguments)), "log": f"{folder}.log", "arm": arm})

    def wait(self, process):
        """The exit status of a program, minus a signal's number, or `STOPPED`."""
        status = self._ask({"wait": process})
        return STOPPED if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)

    def run(self, arguments, folder, **happens):
        """Starts the program, and waits for its end or stop."""
        return self.wait(self.start(arguments, folder, **happens))

    def _ask(self, order):
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answered = select.select([self._process.stdout], [], [], LONGEST)[0]
        assert answered, f"no answer to {order}"
        return int(self._process.stdout.readline())


def counts_of(folder):
    """The counts of the run in a folder that ended last."""
    return Counts(*json.loads(Path(f"{folder}.log.counts").read_text()))


def said_in(folder):
    """What the programs in a folder have printed since this was last asked."""
    log = Path(f"{folder}.log")
    text = log.read_text()
    log.unlink()
    return text
