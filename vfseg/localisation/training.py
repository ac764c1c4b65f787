"""Training of the localiser: its loss, and what it is fitted to."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from vfseg.localisation.coarse import CoarseCase
from vfseg.localisation.fitting import fit
from vfseg.localisation.network import Localiser, Seen, first_params, windowed
from vfseg.localisation.samples import Sample, draw_sample

BATCH = 2
RATE = 2e-3
HEAT_WEIGHT, LEVEL_WEIGHT = 10.0, 0.5
MIDDLE_WEIGHT = 40.0
"""How much more the middle of a body counts in the heat map than a voxel far from all."""


class Losses(NamedTuple):
    """Mean losses of a batch."""

    heat: jax.Array
    level: jax.Array


def loss(params: Any, batch: Sample) -> tuple[jax.Array, Losses]:
    """Cross-entropy of the heat map, and of the levels around the middles of bodies.

    Args:
        params: of `Localiser`.
        batch: `n ...`.
    """
    hu, target, known_voxels, target_level = map(jnp.asarray, batch)
    seen = Seen(*Localiser().apply({"params": params}, windowed(hu)))
    weight = known_voxels * (1 + MIDDLE_WEIGHT * target)
    heat = optax.sigmoid_binary_cross_entropy(seen.heat, target)
    least = optax.sigmoid_binary_cross_entropy(_logit(target), target)
    heat_loss = jnp.sum(weight * (heat - least)) / jnp.sum(known_voxels)
    known = target_level.sum(-1)
    level = optax.softmax_cross_entropy(seen.level, target_level)
    level_loss = jnp.sum(level * known) / jnp.maximum(jnp.sum(known), 1)
    return HEAT_WEIGHT * heat_loss + LEVEL_WEIGHT * level_loss, Losses(heat_loss, level_loss)


def _logit(p: jax.Array) -> jax.Array:
    p = jnp.clip(p, 1e-6, 1 - 1e-6)
    return jnp.log(p) - jnp.log1p(-p)


def train(
    cases: Sequence[CoarseCase],
    steps: int,
    seed: int,
    start: Any | None = None,
    on_log: Callable[[int, Any], None] | None = None,
) -> Any:
    """Trains a localiser; equal arguments give equal parameters on one machine.

    Args:
        cases: to learn from.
        steps: of `BATCH` pieces each.
        seed: of parameters and pieces.
        start: parameters to go on from; None draws them.
        on_log: called with step and parameters every 50 steps, and at the end.

    Returns:
        Parameters, the mean of the last steps weighted by 0.99 a step.
    """
    rng = np.random.default_rng((seed, 7))
    return fit(
        loss,
        lambda: draw_sample(rng, cases),
        first_params(seed) if start is None else start,
        batch_size=BATCH,
        rate=RATE,
        steps=steps,
        show=lambda step, means, seconds: logging.info(
            "step %d: heat %.4f level %.3f, %.0f s", step, *means, seconds
        ),
        on_log=on_log,
    )
