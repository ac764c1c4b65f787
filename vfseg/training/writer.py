"""Scalars of a run: one JSON object a line, each with its checksum, and TensorBoard events.

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
from vfseg.json_files import parse_json, sealed, unsealed
from vfseg.schemas import NUMBER, All, Table, misfit
from vfseg.settings import whole

_VALIDATION = "validation/"
_LINE = All(({"step": whole(0)}, Table(NUMBER)))


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

        kept = [line for line in read_metrics(self._path) if stands(line)]
        with self._writing():
            with atomic_file(self._path) as file:
                file.write("".join(map(_text, kept)).encode())
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
                file.write(_text({"step": step, **scalars}))
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
    """Lines of a `metrics.jsonl`; none where there is no such file.

    A last line without its end is left out where it cannot be read: the run was killed there.

    Raises:
        UserError: any other line is damaged.
    """
    try:
        *complete, last = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise damaged_metrics(path, error.strerror or str(error)) from error
    lines = []
    for number, text in enumerate(complete, 1):
        try:
            line = unsealed(parse_json(text))
            wrong = misfit(line, _LINE)
        except (ValueError, RecursionError) as error:
            wrong = str(error)
        if wrong:
            raise damaged_metrics(path, f"line {number}: {wrong}")
        lines.append(line)
    with contextlib.suppress(ValueError, RecursionError):
        line = unsealed(parse_json(last))
        if not misfit(line, _LINE):
            lines.append(line)
    return lines


def _text(line: Mapping[str, float]) -> str:
    return json.dumps(sealed(line)) + "\n"


def damaged_metrics(path: Path, reason: str) -> UserError:
    """The error that says so of a `metrics.jsonl`, from which nothing is learnt."""
    return UserError(
        f"{path}: damaged ({reason}). Mend or delete that line, or move the file away: the curves "
        "then begin where training goes on."
    )
