"""The program in processes of its own, with arguments, output and exit status as users have them.

To start Python and to import takes longer than most of what is tested. So each worker of pytest has
one process that has imported everything and computed nothing (`tests/imported.py`), and forks the
program from it. With `anew=True`, or an environment of its own, it is started as users start it.
"""

import atexit
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cohort import ROOT

TINY = ["--config=configs/quickstart.py:tiny", "--mode=train", "--config.augment.noise=10.0"]
STARTED = []
"""All processes that a test started; what still runs at its end is killed."""

LONGEST = 600  # seconds that anything may take

_IMPORTED = multiprocessing.get_context("forkserver")
_IMPORTED.set_forkserver_preload(["tests.imported"])


class _Forked:
    """A forked process, with what is used here of `subprocess.Popen`."""

    def __init__(self, arguments, cwd, out, err):
        there = dict(os.environ), os.fspath(cwd), os.fspath(out), os.fspath(err)
        # The worker may have begun to heed control C after the process that is forked.
        heeds_sigint = signal.getsignal(signal.SIGINT) != signal.SIG_IGN
        self._process = _IMPORTED.Process(target=_run, args=(arguments, heeds_sigint, *there))
        self._process.start()
        self.pid = self._process.pid
        self.kill, self.terminate = self._process.kill, self._process.terminate

    def poll(self):
        """Exit status, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number):
        """Sends it, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout=LONGEST):
        """Exit status, once there is one."""
        self._process.join(timeout)
        assert self.poll() is not None, f"still running after {timeout} s"
        return self.poll()


def _run(arguments, heeds_sigint, environment, cwd, out, err):
    """In the forked process: `cd CWD && vfseg ARGUMENTS >> OUT 2>> ERR`."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    signal.signal(signal.SIGINT, signal.default_int_handler if heeds_sigint else signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["vfseg", *arguments]
    from vfseg.main import entry_point

    try:
        entry_point()
    finally:
        atexit._run_exitfuncs()  # a forked process ends without them


def vfseg(*arguments, cwd=ROOT, status=0, anew=False):
    """Runs the program in a process of its own; returns what it printed."""
    arguments = [*map(str, arguments)]
    if anew:
        command = [sys.executable, "-m", "vfseg.main", *arguments]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LONGEST)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, name) for name in ("out", "err")]
            code = _Forked(arguments, cwd, *paths).wait()
            out, err = (path.read_text() for path in paths)
    assert code == status, f"{code}: {arguments}\n{out}\n{err}"
    if status == 2:
        assert "Traceback" not in err
        assert re.search("^vfseg: ", err, re.MULTILINE)
    return out if status == 0 else err


def copy_of(prepared, workdir):
    """A workdir of its own with the cases prepared."""
    return shutil.copytree(prepared, workdir)


def start(workdir, *arguments, **environment):
    """Starts `--mode train` in a workdir; its output goes to `WORKDIR.txt`."""
    arguments, log = [*TINY, f"--workdir={workdir}", *arguments], f"{workdir}.txt"
    if environment:
        command = [sys.executable, "-m", "vfseg.main", *arguments]
        with open(log, "a") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=file, stderr=file, env={**os.environ, **environment}
            )
    else:
        process = _Forked(arguments, ROOT, log, log)
    STARTED.append(process)
    return process


def start_many(workdirs, *arguments, **environment):
    """Starts one run of as many processes as workdirs are named, joined on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
    joined = [address, f"--processes={len(workdirs)}"]
    return [
        start(workdir, *arguments, *joined, f"--process={number}", **environment)
        for number, workdir in enumerate(workdirs)
    ]


def finish(process, workdir, status=0):
    """Waits for the end; returns what was printed so far in this workdir."""
    code = process.wait(LONGEST)
    with open(f"{workdir}.txt") as log:
        text = log.read()
    assert code == status, f"{code}\n{text}"
    return text


def wait_until(holds, process):
    """Waits, without losing time, until something holds while the process is running."""
    until = time.monotonic() + LONGEST
    while not holds():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.0005)
