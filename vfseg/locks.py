"""Folders worked in alone: by one run for as long as it lasts, or by one process for a moment.

Both locks are the kernel's (`flock`): they go with the process that holds them, however it ends,
and network file systems pass them on between hosts. Where one does not, the name of the host in the
file of a run still keeps out runs of other hosts.
"""

import contextlib
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from absl import logging

from vfseg.errors import CannotWrite, UserError
from vfseg.files import gone_if_empty

RUN, MOMENT = ".run.lock", ".lock"
_HELD: set[Path] = set()


@contextlib.contextmanager
def kept_for_run(folder: Path) -> Iterator[None]:
    """Keeps a folder for one run: another one that would work there is refused.

    `.run.lock` in the folder says which run it is, and goes at its end. One that a killed process
    of this host left is passed over; of one of another host nobody here can know.

    Args:
        folder: made if it is missing, and removed at the end where it is still empty.

    Raises:
        UserError: another run works there, or one of another host did and left no word.
        CannotWrite: nothing can be written there.
    """
    path = folder / RUN
    with gone_if_empty(folder), _acquired(path) as file:
        before = _content(path)
        if before and before.get("host") != socket.gethostname():
            raise _refusal(path, before, f" If it is no longer alive, delete {path}.")
        if before:
            logging.info("%s: the run before this one was killed; going on", folder)
        owner = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "started": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
        }
        try:
            file.truncate(0)
            file.write(json.dumps(owner).encode())
            file.flush()
            os.fsync(file.fileno())  # other hosts read it
        except OSError as error:
            raise _cannot_write(path, error) from error
        _HELD.add(path)
        try:
            yield
        finally:
            _release(path)


def release_all() -> None:
    """Gives back every folder that this process keeps: it ends without unwinding its stack."""
    for path in list(_HELD):
        _release(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time inside, of all that work in a folder; the others wait.

    Args:
        folder: made if it is missing, and removed at the end where it is still empty.

    Raises:
        CannotWrite: nothing can be written there.
    """
    path = folder / MOMENT
    with gone_if_empty(folder), _acquired(path, wait=True):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _release(path: Path) -> None:
    """Removes the word of a run while its lock still holds."""
    if path in _HELD:
        _HELD.discard(path)
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _acquired(path: Path, *, wait: bool = False) -> Iterator[BinaryIO]:
    """The file of a lock, opened and locked; where another has it, it waits or raises `UserError`.

    Who has it removes the file while it is still locked, so that a folder keeps none.
    """
    while True:
        with _opened(path) as file:
            if not _take(file, path):
                if not wait:
                    raise _refusal(path, _content(path))
                logging.info("%s: waiting for another process that works here", path.parent)
                _take(file, path, wait=True)
            if _is_at(path, file):  # else it was removed in between
                yield file
                return


def _is_at(path: Path, file: BinaryIO) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115, closed below
    except OSError as error:
        raise _cannot_write(path, error) from error
    with file:
        yield file


def _take(file: BinaryIO, path: Path, *, wait: bool = False) -> bool:
    """Whether the lock of a file is now ours."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{path}: this file system has no locks ({error.strerror or error}). Choose a folder "
            "on another one, or have it mounted with locks (flock)."
        ) from error
    return True


def _content(path: Path) -> dict[str, Any]:
    """What a run says of itself; nothing where it was killed before it could."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(path: Path, owner: dict[str, Any], remedy: str = "") -> UserError:
    host, process, started = (owner.get(k, "unknown") for k in ("host", "process", "started"))
    return UserError(
        f"{path.parent}: another run works here (host {host}, process {process}, since {started}). "
        f"Wait for its end, or choose another folder.{remedy}"
    )


def _cannot_write(path: Path, error: OSError) -> CannotWrite:
    return CannotWrite(
        f"{path}: cannot be written ({error.strerror or error}). Choose a folder that can be."
    )
