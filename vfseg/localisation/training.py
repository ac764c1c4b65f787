"""Training of the localiser: one step, and the loop around it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from vfseg.localisation.coarse import CoarseCase
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
    params = first_params(seed) if start is None else start
    rate = optax.warmup_cosine_decay_schedule(0, RATE, max(steps // 20, 1), steps, RATE / 50)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-4))
    state = optimiser.init(params)
    mean = params

    @jax.jit
    def step(params, state, mean, batch, keep):
        (_, losses), grads = jax.value_and_grad(loss, has_aux=True)(params, batch)
        updates, state = optimiser.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, mean, params)
        return params, state, mean, losses

    totals, began = [], time.monotonic()
    for number in range(1, steps + 1):
        drawn = [draw_sample(rng, cases) for _ in range(BATCH)]
        batch = Sample(*(np.stack(part) for part in zip(*drawn)))
        keep = min(0.99, (number - 1) / number)
        params, state, mean, losses = step(params, state, mean, batch, keep)
        totals.append(losses)
        if number % 50 == 0 or number == steps:
            heat, level = np.mean(jax.device_get(totals), 0)
            totals = []
            passed = time.monotonic() - began
            logging.info("step %d: heat %.4f level %.3f, %.0f s", number, heat, level, passed)
            if on_log is not None:
                on_log(number, mean)
    return mean
