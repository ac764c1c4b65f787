"""Scalars of a run: one JSON object a line, and TensorBoard events.

What is written is on disk at once, so that a killed run has its curves up to its last line.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import RecordWriter, summary
from tensorboardX.proto.event_pb2 import Event, SessionLog

from vfseg import processes
from vfseg.errors import UserError
from vfseg.files import atomic_file

_VALIDATION = "validation/"


class MetricWriter:
    """Appends to `metrics.jsonl` and `tensorboard/` of a workdir."""

    def __init__(self, workdir: Path, *, resume_at: int = 0, validated: bool = True):
        """Opens both.

        Drops lines that will be written again: those past `resume_at`, left by a run that went on
        without saving, and, where `validated` is not set, the validation of that step, left by one
        that ended before the checkpoint was given its score.

        Raises:
            UserError: they cannot be written.
        """
        self._workdir, self._path = workdir, workdir / "metrics.jsonl"

        def stands(line: Mapping[str, float]) -> bool:
            anew = not validated and any(name.startswith(_VALIDATION) for name in line)
            return line["step"] < resume_at + (0 if anew else 1)

        with self._writing():
            kept = [line for line in read_metrics(self._path) if stands(line)]
            with atomic_file(self._path) as file:
                file.write("".join(json.dumps(line) + "\n" for line in kept).encode())
            folder = workdir / "tensorboard"
            folder.mkdir(exist_ok=True)
            # Not `SummaryWriter`: its thread dies of a full disk, and the run then waits for it.
            name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
            self._events = RecordWriter(str(folder / name))
            self._add(file_version="brain.Event:2")
            # Hides what was logged from here on.
            self._add(step=resume_at + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes the scalars of a step.

        Raises:
            UserError: they cannot be written.
        """
        with self._writing():
            with open(self._path, "a") as file:
                file.write(json.dumps({"step": step, **scalars}) + "\n")
            for name, value in scalars.items():
                self._add(step=step, summary=summary.scalar(name, value))
            self._events.flush()

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a picture `h w 3` uint8 of a step, to TensorBoard alone.

        Raises:
            UserError: it cannot be written.
        """
        with self._writing():
            self._add(step=step, summary=summary.image(name, image, dataformats="HWC"))
            self._events.flush()

    def close(self) -> None:
        """Closes the events; all of them are written, or it was said that they cannot be."""
        with contextlib.suppress(OSError):
            self._events.close()

    def _add(self, **content: Any) -> None:
        self._events.write(Event(wall_time=time.time(), **content).SerializeToString())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self._workdir}: metrics.jsonl and tensorboard/ cannot be written "
                f"({error.strerror or error}). Make room, and run again."
            ) from error


class NoWriter:
    """Stands for a `MetricWriter` on every process but the first."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes nothing."""

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Nothing is open."""


def open_writer(workdir: Path, *, resume_at: int, validated: bool) -> MetricWriter | NoWriter:
    """The writer of this process: one of all processes writes. Arguments as `MetricWriter`."""
    if not processes.is_first():
        return NoWriter()
    return MetricWriter(workdir, resume_at=resume_at, validated=validated)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Lines of a `metrics.jsonl`; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
