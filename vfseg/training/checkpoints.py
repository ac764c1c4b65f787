"""Checkpoints by Orbax: both networks, both optimisers, step, key and data position together."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tensorstore as ts
from orbax.checkpoint import v1 as ocp

from vfseg.errors import UserError
from vfseg.training.state import TrainState


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
    """The checkpoints of a run: the newest one and the best one by validation PR-AUC are kept."""

    def __init__(self, directory: Path, *, create: bool = False):
        """Opens a folder of checkpoints.

        Raises:
          UserError: the folder does not exist and `create` is not set; it cannot be made or read;
            the metrics of a checkpoint are damaged.
        """
        self._directory = directory.resolve()
        if not create and not directory.is_dir():
            raise UserError(
                f"{directory}: no checkpoints. Train first (--mode train), or name the folder that "
                "holds them with --checkpoint."
            )
        policies = ocp.training.preservation_policies
        # Orbax reads all metrics at once and does not say which of them it could not read.
        for path in sorted(self._directory.glob("*/metrics/metrics")):
            with _intact(path.parent.parent):
                json.loads(path.read_text())
        try:
            self._checkpointer = ocp.training.Checkpointer(
                self._directory,
                preservation_policy=policies.AnyPreservationPolicy(
                    [policies.LatestN(1), policies.BestN(get_metric_fn=_validation_pr_auc, n=1)]
                ),
                cleanup_tmp_directories=create,
            )
        except OSError as error:
            raise UserError(
                f"{self._directory}: checkpoints cannot be kept here ({error.strerror or error}). "
                "Choose a --workdir that can be written to."
            ) from error

    def save(
        self,
        state: TrainState,
        *,
        next_sample: int,
        config: Mapping[str, Any],
        validation_pr_auc: float,
    ) -> None:
        """Saves a host state; returns when it is on disk."""
        tree = jax.tree.map(np.asarray, state)
        self._checkpointer.save(
            int(state.step),
            {"state": tree, "next_sample": next_sample},
            metrics={"validation_pr_auc": validation_pr_auc},
            custom_metadata={"config": dict(config)},
        )

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint; None where there is none.

        Raises:
          UserError: the metrics of a checkpoint are missing, so that the best one is not known.
        """
        scores = self._scores()
        return max(scores) if scores else None

    @property
    def best(self) -> int | None:
        """Step of the best checkpoint by validation PR-AUC (ties: the newer).

        Raises:
          UserError: as `newest`.
        """
        scores = self._scores()
        return max(scores, key=lambda step: (scores[step], step)) if scores else None

    def config(self, step: int) -> dict[str, Any]:
        """The config that wrote the checkpoint of a step.

        Raises:
          UserError: the checkpoint is damaged.
        """
        with _intact(self._directory / str(step)):
            return dict(self._checkpointer.metadata(step).custom_metadata["config"])

    def restore(self, step: int, template: TrainState) -> Restored:
        """Reads the checkpoint of a step.

        Args:
          step: one of those that stand.
          template: a state of the same networks and optimisers; gives structure and dtypes.

        Raises:
          UserError: the checkpoint is damaged, or was written by other networks.
        """
        where = self._directory / str(step)
        abstract = {"state": jax.tree.map(np.asarray, template), "next_sample": 0}
        config = self.config(step)
        with _intact(where):
            _read_through(where / "state")
            tree = self._checkpointer.metadata(step).metadata["state"]
            shapes = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(tree)}
        expected = {_name(path): leaf.shape for path, leaf in _leaves(abstract["state"])}
        for name in expected | shapes:
            if shapes.get(name) != expected.get(name):
                raise UserError(
                    f"{where}: {name} has shape {shapes.get(name)} in the checkpoint and "
                    f"{expected.get(name)} in this config's networks. Restore it with the config "
                    "that wrote it, or start in a new --workdir."
                )
        with _intact(where):
            loaded = self._checkpointer.load(step, abstract)
            return Restored(loaded["state"], int(loaded["next_sample"]), config)

    def _scores(self) -> dict[int, float]:
        """Step -> validation PR-AUC, of all checkpoints."""
        scores = {}
        for checkpoint in self._checkpointer.checkpoints:
            with _intact(self._directory / str(checkpoint.step)):
                scores[int(checkpoint.step)] = _validation_pr_auc(checkpoint.metrics)
        return scores

    def close(self) -> None:
        """Waits for pending work."""
        self._checkpointer.close()


@contextlib.contextmanager
def _intact(where: Path) -> Iterator[None]:
    """Whatever goes wrong inside is damage of the checkpoint `where`."""
    try:
        yield
    except Exception as error:  # Orbax promises no particular ones for damaged files
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"{where}: this checkpoint is damaged or incomplete ({reason}). Delete that folder to "
            "go on from an older one, or train again."
        ) from error


def _read_through(arrays: Path) -> None:
    """Reads everything once and keeps nothing; raises where a file is cut.

    Orbax leaves its other reads unfinished where one fails, and they print tracebacks later on.
    """
    store = ts.KvStore.open({"driver": "ocdbt", "base": arrays.as_uri() + "/"}).result()
    for key in store.list().result():
        store.read(key).result()


def _validation_pr_auc(metrics: Mapping[str, float]) -> float:
    return float(metrics["validation_pr_auc"])


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _name(path: Any) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)
