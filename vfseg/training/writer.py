"""Scalars of a run: one JSON object a line, and TensorBoard events."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

from vfseg.data.volume import atomic_file
from vfseg.training import processes


class MetricWriter:
    """Appends to `metrics.jsonl` and `tensorboard/` of a workdir."""

    def __init__(self, workdir: Path, *, resume_at: int = 0):
        """Opens both; drops lines past `resume_at`, left by a run that went on without saving."""
        self._path = workdir / "metrics.jsonl"
        kept = [line for line in read_metrics(self._path) if line["step"] <= resume_at]
        with atomic_file(self._path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())
        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=resume_at + 1)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes the scalars of a step."""
        with open(self._path, "a") as file:
            file.write(json.dumps({"step": step, **scalars}) + "\n")
        for name, value in scalars.items():
            self._events.add_scalar(name, value, step)

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a picture `h w 3` uint8 of a step, to TensorBoard alone."""
        self._events.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()


class NoWriter:
    """Stands for a `MetricWriter` on every process but the first."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes nothing."""

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Nothing is open."""


def open_writer(workdir: Path, *, resume_at: int) -> MetricWriter | NoWriter:
    """The writer of this process: one of all processes writes."""
    return MetricWriter(workdir, resume_at=resume_at) if processes.is_first() else NoWriter()


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
