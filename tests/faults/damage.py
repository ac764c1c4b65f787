"""What may happen to a file of a finished run, and the commands that then read it."""

import re
import shutil
from collections.abc import Callable
from typing import NamedTuple

from tests.faults.whole_run import command


def _truncate(path, _other):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path, _other):
    path.write_bytes(b"")


def _flip(path, _other):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def _swap(path, other):
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _delete(path, _other):
    path.unlink()


WAYS = {
    "truncated": _truncate,
    "emptied": _empty,
    "flipped": _flip,
    "swapped": _swap,
    "deleted": _delete,
}


def damages(whole):
    """Words -> what damages a copy of a run; every file in every way that changes it."""
    files = [path for path in sorted(whole.rglob("*")) if path.is_file()]
    found = {}
    for path in files:
        name, content = path.relative_to(whole), path.read_bytes()
        same = [p for p in files if p.name == path.name] + [
            p for p in files if _kind(p) == _kind(path)
        ]
        other = next((p for p in same if p.read_bytes() != content), None)
        for way, change in WAYS.items():
            if (way == "swapped" and other is None) or (not content and way != "deleted"):
                continue
            partner = other and other.relative_to(whole)
            found[f"{name} {way}"] = _change(change, name, partner)
    return found


def _kind(path):
    return path.suffix or path.parent.name


def _change(change, name, partner):
    return lambda folder: change(folder / name, partner and folder / partner)


_SPARE = re.compile(r"checkpoints/damaged-\d+/.*|(checkpoints/)?1( scored)?")
"""No part of a result: the older checkpoint, which stands in for the newest, and what was set aside
in its favour."""


class Command(NamedTuple):
    """A command for a run that is finished.

    Attributes:
        mode: of the program.
        writes: names in an outcome of what it writes, or lets stand.
        begin: what is done to the folder of the finished run before.
    """

    mode: str
    writes: re.Pattern
    begin: Callable = lambda folder: None

    def arguments(self, folder):
        """Of the command that works in a folder."""
        return command(self.mode, folder)

    def results(self, names):
        """Those names in an outcome that are of its results."""
        return [n for n in names if self.writes.match(n) and not _SPARE.fullmatch(n)]


def _without_the_newest(folder):
    """Training goes on from the checkpoint before."""
    steps = folder / "checkpoints"
    shutil.rmtree(steps / max(path.name for path in steps.iterdir() if path.name.isdigit()))


COMMANDS = {
    "train": Command("train", re.compile(r"checkpoints/\d|metrics"), _without_the_newest),
    "evaluate": Command("evaluate", re.compile("evaluation|predictions|checkpoints/thresholds")),
    "report": Command("report", re.compile("report")),
    "run": Command("run", re.compile("")),
}
