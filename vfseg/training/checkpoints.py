"""Checkpoints by Orbax: both networks, both optimisers, step, key and data position together.

`checkpoints/STEP/` appears whole or not at all, and goes at once: it is written under another name
and renamed, renamed and then deleted. A process killed at any moment leaves at worst a folder with
a leading dot, which the next one clears away. Processes save together, though only the first one
writes, since every one of them holds the same state; each reads for itself.

Every checkpoint carries the digests of its files (`vfseg.digests`), which are checked before it is
used. Those of earlier versions have none: they are read to their end, which finds what is cut.

Which checkpoints stay is decided here and not by Orbax's preservation policies: those take the
score with the save, and here it follows the save, after a validation that may be interrupted.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from orbax.checkpoint import v1 as ocp

from vfseg import processes
from vfseg.digests import add_digest, noticed, write_digests
from vfseg.errors import CannotWrite, UserError, in_short
from vfseg.files import full_disk_of, sync_folder
from vfseg.json_files import write_json
from vfseg.schemas import read_checked
from vfseg.settings import between
from vfseg.training.damage import DamagedCheckpoint, alone, damage_of, damaged, intact
from vfseg.training.state import TrainState

_SCORE = "validation.json"
_SCORE_SHAPE = {"pr_auc": between(0, 1)}

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
                write_digests(part)
                part.rename(self._directory / str(step))
                sync_folder(self._directory)
                self._tidy()

    def score(self, step: int, validation_pr_auc: float) -> None:
        """Notes the validation score of a checkpoint; the best one so far will be kept.

        Raises:
            UserError: it cannot be written.
        """
        where = self._directory / str(step)
        write_json(where / _SCORE, {"pr_auc": validation_pr_auc})
        with self._writing(step):
            add_digest(where, _SCORE)
        self._tidy()

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint; None where there is none."""
        return max(self._steps(), default=None)

    def newest_intact(self) -> int | None:
        """Step of the newest checkpoint that is as it was written; None where there is none at all.

        Raises:
            DamagedCheckpoint: there are checkpoints, and each of them is damaged.
        """
        errors: list[DamagedCheckpoint] = []
        for step in sorted(self._steps(), reverse=True):
            try:
                self._verify(step)
            except DamagedCheckpoint as error:
                errors.append(error)
            else:
                return step
        if errors:
            raise errors[0]
        return None

    def resume(self) -> int | None:
        """Step of the checkpoint to go on from: as `newest_intact`; None begins anew.

        Damaged ones that are newer are said and set aside, as `damaged-STEP`, since that step will
        be written again.

        Raises:
            DamagedCheckpoint: as `newest_intact`.
            CannotWrite: they cannot be set aside.
        """
        newest = self.newest_intact()
        if newest is not None:
            for step in sorted(self._steps()):
                if step > newest:
                    self._set_aside(step, newest)
        return newest

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
        with intact(where), alone():
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
        with intact(where), alone():
            loaded = _plain(ocp.load(where, abstract))
            found = int(loaded["state"].step)
            if found != step:
                raise ValueError(f"it holds step {found}")
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
        where, context = self._directory / str(step), alone()
        context.pytree.loading.partial_load = True
        with intact(where), context:
            return _plain(ocp.load(where, abstract))["state"]["ema_params"]

    def _check(self, step: int, state: Any, *, whole: bool) -> None:
        """Compares the shapes of a checkpoint with those of a state, or of a part of one."""
        where = self._directory / str(step)
        self._verify(step)
        with intact(where), alone():
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

    def _verify(self, step: int) -> None:
        """Raises `DamagedCheckpoint` where a checkpoint is not as it was written."""
        where = self._directory / str(step)
        wrong = damage_of(where)
        if wrong:
            raise damaged(where, wrong)

    def _set_aside(self, step: int, newest: int) -> None:
        where, aside = self._directory / str(step), self._directory / f"damaged-{step}"
        logging.warning(
            "the checkpoint of step %d is damaged (%s) and set aside as %s; going on from step %d",
            *(step, damage_of(where), aside, newest),
        )
        try:
            shutil.rmtree(aside, ignore_errors=True)
            where.rename(aside)
        except OSError as error:
            raise CannotWrite(
                f"{aside}: cannot be written ({error.strerror or error}). Choose a --workdir that "
                "can be written to."
            ) from error

    def _steps(self) -> list[int]:
        return [int(path.name) for path in self._directory.iterdir() if path.name.isdigit()]

    def _rank(self, step: int) -> float:
        """Validation PR-AUC; below every score where there is none yet."""
        where = self._directory / str(step)
        if wrong := noticed(where, _SCORE):
            raise damaged(where, wrong)
        if not self.is_scored(step):
            return -1.0
        with intact(where):
            return float(read_checked(where / _SCORE, _SCORE_SHAPE)["pr_auc"])

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
            reason = full_disk_of(error) or getattr(error, "strerror", None) or in_short(error)
            raise CannotWrite(
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


def _plain(tree: Any) -> Any:
    """What Orbax types as any tree at all."""
    return tree


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _name(path: Any) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)
