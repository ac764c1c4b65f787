"""Bytes: that processes hold now, at their peak, when one has ended, of a whole tree; of files."""

import contextlib
import os
import re
import resource
import sys
import threading
from pathlib import Path

_PROC = Path("/proc")
_SECONDS = 0.2  # between two looks at a tree: each takes a few ms of a core


def resident_bytes() -> int:
    """Resident size of this process now; its peak where the system does not tell."""
    return _field("VmRSS")


def peak_resident_bytes() -> int:
    """Largest resident size of this process so far."""
    return _field("VmHWM")


def peak_of(usage: resource.struct_rusage) -> int:
    """Largest resident size, in bytes, in the system's account of a process."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def stored_bytes(folder: Path) -> int:
    """Bytes of all files in a folder, at any depth."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def tree_bytes() -> int:
    """Memory of this process and of all that it started, and these, and so on, as they run now.

    What several of them share counts once (Linux: "Pss"); elsewhere that of this process alone.
    """
    if not (_PROC / "self" / "smaps_rollup").exists():
        return resident_bytes()
    parents = {}
    for path in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            # The name before the parent's id is in brackets, and may hold any other.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    tree, found = [os.getpid()], 0
    for process in tree:
        tree += [child for child, parent in parents.items() if parent == process]
        with contextlib.suppress(OSError):
            rollup = (_PROC / str(process) / "smaps_rollup").read_text()
            pss = re.search(r"^Pss:\s*(\d+) kB", rollup, re.MULTILINE)
            found += int(pss[1]) * 1024 if pss else 0
    return found


class Watch:
    """How much more memory this process and all that it starts take than they did at first.

    It looks a few times a second, so that what is taken for a moment in another process may be
    missed; of this process the system knows the peak.

        with Watch() as watch:
            ...
        watch.bytes
    """

    def __enter__(self) -> "Watch":
        self.bytes = 0
        self._done = threading.Event()
        self._first, self._own = tree_bytes(), resident_bytes()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, peak_resident_bytes() - self._own)

    def _look(self) -> None:
        while not self._done.wait(_SECONDS):
            self.bytes = max(self.bytes, tree_bytes() - self._first)


def _field(name: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_of(resource.getrusage(resource.RUSAGE_SELF))
    found = re.search(rf"{name}:\s*(\d+) kB", status.read_text())
    assert found
    return int(found[1]) * 1024
