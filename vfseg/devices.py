"""The devices that XLA computes on: of which kind, and one message where they fail or are full."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

import jax
import numpy as np

from vfseg.errors import UserError, in_short

_FULL = ("RESOURCE_EXHAUSTED", "out of memory")
_MADE_FOR: ContextVar[str | None] = ContextVar("kind of device", default=None)


def kind() -> str:
    """Of the devices that programs are made for: "cpu", "gpu", ...; this process's, if not said."""
    return _MADE_FOR.get() or jax.default_backend()


@contextlib.contextmanager
def made_for(other: str) -> Iterator[None]:
    """Programs that are traced inside are for devices of another kind than this process has."""
    before = _MADE_FOR.set(other)
    try:
        yield
    finally:
        _MADE_FOR.reset(before)


def check_flags() -> None:
    """Refuses XLA_FLAGS that XLA does not take: it would end the process where it reads them.

    A copy of this process reads them first (a twentieth of a second, and only where there are any).

    Raises:
        UserError: XLA does not take them; with what it says.
    """
    if not os.environ.get("XLA_FLAGS"):
        return
    with tempfile.TemporaryFile() as said:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the copy has one thread, and computes nothing
            copy = os.fork()
        if copy == 0:
            os.dup2(said.fileno(), 2)
            with contextlib.suppress(BaseException):
                jax.config.update("jax_platforms", "cpu")
                jax.devices()
            os._exit(0)
        status = os.waitpid(copy, 0)[1]
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    if status and lines:  # behind the time and the place in XLA's source
        raise UserError(
            f"XLA_FLAGS={os.environ['XLA_FLAGS']}: XLA does not take that "
            f"({lines[0].partition('] ')[2]}). Correct the variable, or unset it."
        )


def start() -> None:
    """Starts the devices, and computes something on the first of them.

    Raises:
        UserError: there is no such platform, no device of it, or a library that does not fit.
    """
    try:
        (jax.device_put(np.ones(1)) + 1).block_until_ready()
    except Exception as error:  # whatever a library of others raises
        platforms = os.environ.get("JAX_PLATFORMS") or "not set: any that is found"
        raise UserError(
            f"no device to compute on could be started ({in_short(error)}). JAX_PLATFORMS "
            f"({platforms}) says of which kind: cpu always works; for others install JAX with "
            "their libraries, all of one version, such as pip install -U 'jax[cuda12]'."
        ) from error


def memory_bytes() -> float | None:
    """Memory of one device, of a CPU that of its machine; None where it is not told."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return (device.memory_stats() or {}).get("bytes_limit")


@contextlib.contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Where memory runs out inside, the processor's or a device's, that is the user's to mend.

    Args:
        advice: what takes less.

    Raises:
        UserError: it ran out.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        full = isinstance(error, MemoryError) or any(w.lower() in str(error).lower() for w in _FULL)
        if not full:
            raise
        raise UserError(f"there is not enough memory ({in_short(error)}). {advice}") from error
