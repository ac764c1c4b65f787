"""Checkpoints by Orbax: both networks, both optimisers, step, key and data position together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
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
          UserError: the folder does not exist and `create` is not set, or cannot be made.
        """
        self._directory = directory.resolve()
        if not create and not directory.is_dir():
            raise UserError(
                f"{directory}: no checkpoints. Train first (--mode train), or name the folder that "
                "holds them with --checkpoint."
            )
        policies = ocp.training.preservation_policies
        self._checkpointer = ocp.training.Checkpointer(
            self._directory,
            preservation_policy=policies.AnyPreservationPolicy(
                [policies.LatestN(1), policies.BestN(get_metric_fn=_validation_pr_auc, n=1)]
            ),
            cleanup_tmp_directories=create,
        )

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
        """Step of the newest checkpoint; None where there is none."""
        latest = self._checkpointer.latest
        return None if latest is None else int(latest.step)

    @property
    def best(self) -> int | None:
        """Step of the best checkpoint by validation PR-AUC (ties: the newer)."""
        found = [
            (_validation_pr_auc(c.metrics), int(c.step)) for c in self._checkpointer.checkpoints
        ]
        return max(found)[1] if found else None

    def config(self, step: int) -> dict[str, Any]:
        """The config that wrote the checkpoint of a step."""
        return self._checkpointer.metadata(step).custom_metadata["config"]

    def restore(self, step: int, template: TrainState) -> Restored:
        """Reads the checkpoint of a step.

        Args:
          step: one of those that stand.
          template: a state of the same networks and optimisers; gives structure and dtypes.

        Raises:
          UserError: the checkpoint is damaged, or was written by other networks.
        """
        where = self._directory / str(step)
        remedy = "Restore it with the config that wrote it, or start in a new --workdir."
        abstract = {"state": jax.tree.map(np.asarray, template), "next_sample": 0}
        try:
            written = self._checkpointer.metadata(step)
            shapes = {_name(p): tuple(x.shape) for p, x in _leaves(written.metadata["state"])}
            loaded = self._checkpointer.load(step, abstract)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{where}: cannot be read ({error}). {remedy}") from error
        for path, leaf in _leaves(abstract["state"]):
            found = shapes.get(_name(path))
            if found != leaf.shape:
                raise UserError(
                    f"{where}: {_name(path)} has shape {found} in the checkpoint and {leaf.shape} "
                    f"in this config's networks. {remedy}"
                )
        config = written.custom_metadata["config"]
        return Restored(loaded["state"], int(loaded["next_sample"]), config)

    def close(self) -> None:
        """Waits for pending work."""
        self._checkpointer.close()


def _validation_pr_auc(metrics: Mapping[str, float]) -> float:
    return metrics["validation_pr_auc"]


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _name(path: Any) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)
