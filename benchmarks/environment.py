"""Where figures come from: date, commit, device, versions, and how busy the machine was."""

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from vfseg.processes import cores

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "monai", "nnunetv2", "SimpleITK")
BUSY = 0.5
"""Load of the machine above which times are worth nothing."""
if hasattr(os, "getloadavg"):  # before the first process: those it starts would see its own load
    os.environ.setdefault("VFSEG_LOAD_BEFORE", str(os.getloadavg()[0]))
_LOAD_BEFORE = float(os.environ.get("VFSEG_LOAD_BEFORE", 0))


def environment() -> dict[str, Any]:
    """Date, commit, device and versions, without which a figure means nothing."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or None,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "backend": jax.default_backend(),
        "processor": _processor(),
        "load_before": _LOAD_BEFORE,
        "python": platform.python_version(),
        **{package: version for package in PACKAGES if (version := installed(package))},
    }


def installed(package: str) -> str | None:
    """Version of a package, None where it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Cores this process may use and, where the system names it, the processor."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return f"{cores()} x {names[0] if names else platform.machine()}"
