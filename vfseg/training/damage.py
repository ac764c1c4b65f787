"""Whether a checkpoint is as it was written, and the one message where it is not."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import tensorstore as ts
from orbax.checkpoint import v1 as ocp

from vfseg import processes
from vfseg.digests import Marks, damage, has_digests, marks_of
from vfseg.errors import UserError, in_short


class DamagedCheckpoint(UserError):
    """A checkpoint is not as it was written."""


def damaged(where: Path, reason: str) -> DamagedCheckpoint:
    """The error that says so of the checkpoint `where`."""
    return DamagedCheckpoint(
        f"{where}: this checkpoint is damaged or incomplete ({reason}). Delete that folder to go "
        "on from an older one, or train again."
    )


def damage_of(where: Path) -> str:
    """What is wrong with the files of a checkpoint, in words; "" where nothing is.

    The one that was looked at last is remembered for as long as its files stay as they are: on the
    way to the first step that one is asked for more than once.
    """
    try:
        return _damage_of(where, marks_of(where))
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror or error})"


@functools.lru_cache(maxsize=1)
def _damage_of(where: Path, files: Marks) -> str:
    if has_digests(where):
        return damage(where)
    try:
        _read_through(where / "state")
        with alone():
            ocp.metadata(where)
    except Exception as error:  # Orbax promises no particular ones for damaged files
        return in_short(error)
    return ""


@contextlib.contextmanager
def intact(where: Path) -> Iterator[None]:
    """Whatever goes wrong inside is damage of the checkpoint `where`."""
    try:
        yield
    except Exception as error:
        raise damaged(where, in_short(error)) from error


def alone() -> ocp.Context:
    """Orbax reads on this process alone: it would wait for the others otherwise."""
    context = ocp.Context()
    me = processes.index()
    context.multiprocessing.primary_host = me
    context.multiprocessing.active_processes = {me}
    context.multiprocessing.barrier_sync_key_prefix = str(me)
    return context


def _read_through(arrays: Path) -> None:
    """Reads everything once and keeps nothing; raises where a file is cut.

    Orbax leaves its other reads unfinished where one fails, and they print tracebacks later on.
    """
    store = ts.KvStore.open({"driver": "ocdbt", "base": arrays.as_uri() + "/"}).result()
    for key in store.list().result():
        store.read(key).result()
