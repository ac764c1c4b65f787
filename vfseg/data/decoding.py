"""Compressed DICOM pixels, decoded by a process of their own, which may fail.

JPEG in its many kinds is decoded by libraries in C++. A damaged stream ends them, and with them the
process, in a few of a hundred cases; or it promises a picture of any size, whatever the tags say.
So another process decodes, with little memory and time: where it ends, a slice cannot be read, and
the next one gets a new process. It is this file, run by its path, and is kept from slice to slice,
since starting it takes longer than a slice. It ends when nobody can ask it any more.
"""

import atexit
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

_MOST_BYTES = 2 * 2**30
_MOST_SECONDS = 60  # of the processor, for a slice
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # each would take memory for nothing
_NEEDED = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
)


class NoDecoder(Exception):
    """The kind of compression is not known, or what decodes it is not installed."""


class Decoder:
    """Asks the process for one slice at a time, from any thread."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, path: Path) -> np.ndarray:
        """Pixels of a file as pydicom gives them.

        Raises:
            NoDecoder: there is none for them.
            ValueError: they are damaged, or take more memory or time than any slice.
        """
        with self._alone:
            if self._process is None:
                self._process = _start()
            asked, answers = (
                cast(IO[bytes], pipe) for pipe in (self._process.stdin, self._process.stdout)
            )
            with contextlib.suppress(BrokenPipeError):  # it has ended, which its answer tells
                asked.write(json.dumps(str(path.absolute())).encode() + b"\n")
                asked.flush()
            line = answers.readline()
            head = json.loads(line) if line.endswith(b"\n") else {}
            content = answers.read(head.get("bytes", 0))
            if len(content) != head.get("bytes"):
                raise ValueError(f"decoding them fails: {self._end()}")
        if head["error"]:
            raise (NoDecoder if head["missing"] else ValueError)(head["error"])
        return np.frombuffer(content, head["dtype"]).reshape(head["shape"])

    def close(self) -> None:
        """Ends the process; the next slice starts another."""
        with self._alone:
            self._end()

    def _end(self) -> str:
        """Why the process ended, in words."""
        process, self._process = self._process, None
        if process is None:
            return "it never began"
        with process, contextlib.suppress(BrokenPipeError):  # waits for it
            cast(IO[bytes], process.stdin).close()
        code = process.returncode
        return f"status {code}" if code >= 0 else str(signal.strsignal(-code))


decode = Decoder()
atexit.register(decode.close)


def _start() -> subprocess.Popen[bytes]:
    """The process, out of reach of a Ctrl-C that is meant to end the run after a case."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries complain there
        env=os.environ | {"PYTHONPATH": paths} | dict.fromkeys(_THREADS, "1"),
        start_new_session=True,
    )


def _serve() -> None:
    """The other side: answers until nobody asks."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries write to it
    _limit(resource.RLIMIT_CORE, 0)  # its end is no news
    _limit(resource.RLIMIT_DATA, _MOST_BYTES)
    for line in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + _MOST_SECONDS)
        head, content = _answer(json.loads(line))
        answers.write(json.dumps(head | {"bytes": len(content)}).encode() + b"\n" + content)
        answers.flush()


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _answer(path: str) -> tuple[dict[str, Any], bytes]:
    import pydicom

    try:
        pixels = pydicom.dcmread(path, force=True, specific_tags=list(_NEEDED)).pixel_array
    except Exception as error:  # damaged pixels fail in many ways, by compression
        text = (str(error).splitlines() or [""])[0].rstrip(":") or type(error).__name__
        missing = isinstance(error, NotImplementedError) or "missing dependencies" in text
        return {"error": text, "missing": missing}, b""
    return {"error": "", "dtype": pixels.dtype.str, "shape": pixels.shape}, pixels.tobytes()


if __name__ == "__main__":
    _serve()
