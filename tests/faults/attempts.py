"""One input given to one reader, within bounds of memory and time that are stated here.

What is right: a value, or a `UserError` that names the file. Everything else is a fault.
"""

import contextlib
import os
import re
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.memory import peak_of
from vfseg.errors import UserError

LARGEST_VOLUME = 2**25
"""Bytes that a volume may promise while readers are tried: VFSEG_LARGEST_VOLUME_GB."""

MOST_BYTES = 2**28
"""That reading may take: the volume, what is made of it on the way, and buffers."""

MOST_SECONDS = 10
"""Of the processor."""

VALUE, MESSAGE = "value", "message"


@dataclass
class Target:
    """A reader, and inputs to begin with.

    Attributes:
        path: where it looks for the file.
        read: the reader.
        seeds: small inputs of which the first, at least, gives a value.
        dress: makes the file of an input: what every input would break at once, such as a checksum,
            is put right here.
    """

    path: Path
    read: Callable[[], object]
    seeds: list[bytes]
    dress: Callable[[bytes], bytes] = bytes


def outcome(target: Target, data: bytes) -> str:
    """What a reader makes of an input: `VALUE`, `MESSAGE`, or what is wrong, in words."""
    target.path.write_bytes(target.dress(data))
    before, start = _peak(), time.process_time()
    found = _found(target)
    grown, seconds = _peak() - before, time.process_time() - start
    if grown > MOST_BYTES:
        return f"took {grown / 2**20:.0f} MiB"
    if seconds > MOST_SECONDS:
        return f"took {seconds:.1f} s"
    return found


def _found(target: Target) -> str:
    try:
        target.read()
    except UserError as error:
        if _is_of_memory(error):
            return f"asked for more memory than it may: {error}"
        named = target.path.name in str(error) or str(target.path.parent) in str(error)
        return MESSAGE if named else f"a message without its file: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:500]
    return VALUE


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether an error goes back to one of memory, which the reader then took for damage."""
    while error is not None:
        if isinstance(error, MemoryError) or re.search("allocate|bad_alloc", str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _peak() -> int:
    """Largest size of this process so far, bytes."""
    return peak_of(resource.getrusage(resource.RUSAGE_SELF))


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Inside, memory beyond `MOST_BYTES` is not to be had, also where nothing is written to it.

    Without it, memory that is asked for and not touched would go unseen.
    """
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status")
    if status.exists():
        used = re.search(r"VmData:\s*(\d+) kB", status.read_text())
        assert used
        resource.setrlimit(resource.RLIMIT_DATA, (int(used[1]) * 1024 + MOST_BYTES, limits[1]))
    try:
        with mock.patch.dict(os.environ, {"VFSEG_LARGEST_VOLUME_GB": str(LARGEST_VOLUME / 2**30)}):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
