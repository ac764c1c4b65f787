"""Memory of processes: resident bytes now, at their peak, and of one that has ended."""

import re
import resource
import sys
from pathlib import Path


def resident_bytes() -> int:
    """Resident size of this process now; its peak where the system does not tell."""
    return _field("VmRSS")


def peak_resident_bytes() -> int:
    """Largest resident size of this process so far."""
    return _field("VmHWM")


def peak_of(usage: resource.struct_rusage) -> int:
    """Largest resident size, in bytes, in the system's account of a process."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _field(name: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_of(resource.getrusage(resource.RUSAGE_SELF))
    found = re.search(rf"{name}:\s*(\d+) kB", status.read_text())
    assert found
    return int(found[1]) * 1024
