"""Starts the program many times without loading it each time; see `programs.Programs`.

Orders are lines of JSON: `{"run": arguments, "log": file, "arm": arguments of moments_arm}` starts
the program and answers with its process id, `{"wait": id}` answers with its wait status when it
stops or ends.
"""

import ctypes
import importlib
import json
import os
import pkgutil
import sys
import threading
import warnings

import vfseg
from vfseg.main import main

SHIM = ctypes.CDLL(None)  # of moments.c, which was loaded before the C library
SHIM.moments_arm.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_long)
SHIM.moments_counted.restype = SHIM.moments_written.restype = ctypes.c_long


def _load_all():
    for module in pkgutil.walk_packages(vfseg.__path__, "vfseg."):
        importlib.import_module(module.name)
    assert threading.active_count() == 1, "a process with threads is not to be copied"


def _work(order):
    """In the new process: the program, from its arguments to its exit status."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    folder, *rest = order["arm"]
    SHIM.moments_arm(folder.encode(), *rest)
    sys.argv = ["vfseg", *order["run"]]
    status = main(sys.argv)
    with open(order["log"] + ".counts", "w") as file:
        json.dump([SHIM.moments_counted(), SHIM.moments_written()], file)
    sys.exit(status)


def _serve():
    for line in sys.stdin:
        order = json.loads(line)
        if "run" in order:
            answer = os.fork()
            if not answer:
                _work(order)
        else:
            answer = os.waitpid(order["wait"], os.WUNTRACED)[1]
        print(answer, flush=True)


if __name__ == "__main__":
    _load_all()
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
    _serve()
