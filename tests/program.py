"""The program in processes of its own, as users start it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time

from tests.cohort import ROOT

TINY = ["--config=configs/quickstart.py:tiny", "--mode=train", "--config.augment.noise=10.0"]
STARTED = []
"""All processes that a test started; what still runs at its end is killed."""

LONGEST = 600  # seconds that anything may take


def vfseg(*arguments, cwd=ROOT, status=0):
    """Runs the program in a process of its own; returns what it printed."""
    command = [sys.executable, "-m", "vfseg.main", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == status, f"{arguments}\n{done.stdout}\n{done.stderr}"
    if status == 2:
        assert "Traceback" not in done.stderr
        assert re.search("^vfseg: ", done.stderr, re.MULTILINE)
    return done.stdout if status == 0 else done.stderr


def copy_of(prepared, workdir):
    """A workdir of its own with the cases prepared."""
    return shutil.copytree(prepared, workdir)


def start(workdir, *arguments, **environment):
    """Starts `--mode train` in a workdir; its output goes to `WORKDIR.txt`."""
    command = [sys.executable, "-m", "vfseg.main", *TINY, f"--workdir={workdir}", *arguments]
    with open(f"{workdir}.txt", "a") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **environment}
        )
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
