"""The devices that XLA computes on: one message where they cannot be started, or are full."""

import contextlib
import os
from collections.abc import Iterator

import jax
import numpy as np

from vfseg.errors import UserError, in_short

_FULL = ("RESOURCE_EXHAUSTED", "out of memory")


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
