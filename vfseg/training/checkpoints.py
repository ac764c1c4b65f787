"""Checkpoints by Orbax: both networks, both optimisers, step, key and data position together.

`checkpoints/STEP/` appears whole or not at all, and goes at once: it is written under another name
and renamed, renamed and then deleted. A process killed at any moment leaves at worst a folder with
a leading dot, which the next one clears away. Processes save together, though only the first one
writes, since every one of them holds the same state; each reads for itself.

Which checkpoints stay is decided here and not by Orbax's preservation policies: those take the
score with the save, and here it follows the save, after a validation that may be interrupted.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tensorstore as ts
from orbax.checkpoint import v1 as ocp

from vfseg import processes
from vfseg.errors import UserError
from vfseg.files import atomic_file
from vfseg.training.state import TrainState

_SCORE = "validation.json"

NEWEST = 3
"""How many of the newest are kept: where one is damaged and deleted, there is the one before."""


class Restored(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        state: of training, on the host.
        next_sample: global index of the next sample.
        config: the resolved config that wrote it.
    """

    state: TrainState
    next_sample: int
    config: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run: the newest ones and the best by validation PR-AUC are kept."""

    def __init__(self, directory: Path, *, create: bool = False):
        """Opens a folder of checkpoints.

        Args:
            directory: the folder.
            create: to write to it; makes it if need be and clears away what a killed run left.

        Raises:
            UserError: the folder does not exist and `create` is not set; it cannot be made.
        """
        self._directory = directory.resolve()
        if not create and not directory.is_dir():
            raise UserError(
                f"{directory}: no checkpoints. Train first (--mode train), or name the folder that "
                "holds them with --checkpoint."
            )
        if create:
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                for left in self._directory.glob(".*-*"):
                    shutil.rmtree(left)
            except OSError as error:
                raise UserError(
                    f"{self._directory}: checkpoints cannot be kept here "
                    f"({error.strerror or error}). Choose a --workdir that can be written to."
                ) from error

    def save(self, state: TrainState, *, next_sample: int, config: Mapping[str, Any]) -> None:
        """Saves a host state, not validated yet; returns when it is on disk.

        Every process calls this with the same state; Orbax compares notes between them.

        Raises:
            UserError: it cannot be written.
        """
        step = int(state.step)
        part = self._directory / f".part-{step}"
        tree = {"state": jax.tree.map(np.asarray, state), "next_sample": next_sample}
        with self._writing(step):
            if processes.is_first():
                _make_sure_of_room(self._directory, tree)
            ocp.save(part, tree, custom_metadata={"config": dict(config)})
            if processes.is_first():
                part.rename(self._directory / str(step))
                self._tidy()

    def score(self, step: int, validation_pr_auc: float) -> None:
        """Notes the validation score of a checkpoint; the best one so far will be kept.

        Raises:
            UserError: it cannot be written.
        """
        with atomic_file(self._directory / str(step) / _SCORE) as file:
            file.write(json.dumps({"pr_auc": validation_pr_auc}).encode())
        self._tidy()

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint; None where there is none."""
        return max(self._steps(), default=None)

    @property
    def best(self) -> int | None:
        """Step of the best checkpoint by validation PR-AUC (ties: the newer); None without any.

        Where none has been validated yet, the newest.

        Raises:
            UserError: the score of a checkpoint is damaged.
        """
        return max(self._steps(), key=lambda step: (self._rank(step), step), default=None)

    def is_scored(self, step: int) -> bool:
        """Whether a checkpoint has been validated."""
        return (self._directory / str(step) / _SCORE).exists()

    def config(self, step: int) -> dict[str, Any]:
        """The config that wrote the checkpoint of a step.

        Raises:
            UserError: the checkpoint is damaged.
        """
        where = self._directory / str(step)
        with _intact(where), _alone():
            return dict(_plain(ocp.metadata(where).custom_metadata)["config"])

    def restore(self, step: int, template: TrainState) -> Restored:
        """Reads the checkpoint of a step.

        Args:
            step: one of those that stand.
            template: a state of the same networks and optimisers; gives structure and dtypes.

        Raises:
            UserError: the checkpoint is damaged, or was written by other networks.
        """
        abstract = {"state": jax.tree.map(np.asarray, template), "next_sample": 0}
        self._check(step, abstract["state"], whole=True)
        where, config = self._directory / str(step), self.config(step)
        with _intact(where), _alone():
            loaded = _plain(ocp.load(where, abstract))
            return Restored(loaded["state"], int(loaded["next_sample"]), config)

    def restore_mean(self, step: int, shapes: Any) -> Any:
        """Reads the running mean of the generator's parameters alone, and no other array.

        Args:
            step: one of those that stand.
            shapes: tree of the shapes and dtypes of these parameters.

        Returns:
            The tree of NumPy arrays.

        Raises:
            UserError: as `restore`.
        """
        params = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), shapes)
        abstract = {"state": {"ema_params": params}}
        self._check(step, abstract["state"], whole=False)
        where, context = self._directory / str(step), _alone()
        context.pytree.loading.partial_load = True
        with _intact(where), context:
            return _plain(ocp.load(where, abstract))["state"]["ema_params"]

    def _check(self, step: int, state: Any, *, whole: bool) -> None:
        """Compares the shapes of a checkpoint with those of a state, or of a part of one."""
        where = self._directory / str(step)
        with _intact(where), _alone():
            _read_through(where / "state")
            tree = _plain(ocp.metadata(where).metadata)["state"]
            shapes = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(tree)}
        expected = {_name(path): leaf.shape for path, leaf in _leaves(state)}
        if not whole:
            parts = {name.split("/")[0] for name in expected}
            shapes = {name: s for name, s in shapes.items() if name.split("/")[0] in parts}
        for name in expected | shapes:
            if shapes.get(name) != expected.get(name):
                raise UserError(
                    f"{where}: {name} has shape {shapes.get(name)} in the checkpoint and "
                    f"{expected.get(name)} in this config's networks. Restore it with the config "
                    "that wrote it, or start in a new --workdir."
                )

    def _steps(self) -> list[int]:
        return [int(path.name) for path in self._directory.iterdir() if path.name.isdigit()]

    def _rank(self, step: int) -> float:
        """Validation PR-AUC; below every score where there is none yet."""
        where = self._directory / str(step)
        if not self.is_scored(step):
            return -1.0
        with _intact(where):
            return float(json.loads((where / _SCORE).read_text())["pr_auc"])

    def _tidy(self) -> None:
        """Deletes every checkpoint but the newest ones and the best."""
        steps = sorted(self._steps())
        kept = {self.best, *steps[-NEWEST:]}
        for step in steps:
            if step not in kept:
                gone = self._directory / f".gone-{step}"
                (self._directory / str(step)).rename(gone)
                shutil.rmtree(gone)

    @contextlib.contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        """Whatever goes wrong inside is that the checkpoint of a step cannot be written."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # of a full disk, for one, Orbax makes a ValueError
            reason = getattr(error, "strerror", None) or _in_short(error)
            raise UserError(
                f"{self._directory}: the checkpoint of step {step} cannot be written ({reason}). "
                "Make room, and run again: it goes on from the checkpoint before."
            ) from error


def locate(path: Path) -> tuple[Path, int | None]:
    """The folder of checkpoints that a path names, and the step where it names one.

    Args:
        path: `WORKDIR`, `WORKDIR/checkpoints` or `WORKDIR/checkpoints/STEP`.
    """
    if (path / "checkpoints").is_dir():
        return path / "checkpoints", None
    if path.name.isdigit():
        return path.parent, int(path.name)
    return path, None


def _make_sure_of_room(directory: Path, tree: Any) -> None:
    """Raises OSError where the disk (or the quota) is too full for a tree of arrays.

    Orbax finds out half way, abandons its other writes, and they print tracebacks for minutes.
    """
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))
    size += 2**20  # for names and shapes
    with tempfile.TemporaryFile(dir=directory) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(size))


def _alone() -> ocp.Context:
    """Orbax reads on this process alone: it would wait for the others otherwise."""
    context = ocp.Context()
    me = processes.index()
    context.multiprocessing.primary_host = me
    context.multiprocessing.active_processes = {me}
    context.multiprocessing.barrier_sync_key_prefix = str(me)
    return context


@contextlib.contextmanager
def _intact(where: Path) -> Iterator[None]:
    """Whatever goes wrong inside is damage of the checkpoint `where`."""
    try:
        yield
    except Exception as error:  # Orbax promises no particular ones for damaged files
        raise UserError(
            f"{where}: this checkpoint is damaged or incomplete ({_in_short(error)}). Delete that "
            "folder to go on from an older one, or train again."
        ) from error


def _in_short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _read_through(arrays: Path) -> None:
    """Reads everything once and keeps nothing; raises where a file is cut.

    Orbax leaves its other reads unfinished where one fails, and they print tracebacks later on.
    """
    store = ts.KvStore.open({"driver": "ocdbt", "base": arrays.as_uri() + "/"}).result()
    for key in store.list().result():
        store.read(key).result()


def _plain(tree: Any) -> Any:
    """What Orbax types as any tree at all."""
    return tree


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _name(path: Any) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)
