"""Training of the segmenter: one step, and the loop around it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from vfseg.segmentation.labelled import LabelledCase
from vfseg.segmentation.network import Segmenter, first_params
from vfseg.segmentation.samples import Sample, draw_sample

BATCH = 2
RATE = 3e-3


def loss(params: Any, batch: Sample) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy and soft Dice loss of the outline; also the Dice.

    Args:
        params: of `Segmenter`.
        batch: `n ...`.
    """
    hu, mask = map(jnp.asarray, batch)
    logits = jnp.asarray(Segmenter().apply({"params": params}, hu))
    entropy = optax.sigmoid_binary_cross_entropy(logits, mask).mean()
    p, axes = jax.nn.sigmoid(logits), (1, 2, 3)
    dice = 2 * (p * mask).sum(axes) / ((p + mask).sum(axes) + 1)
    return 5 * entropy + 1 - dice.mean(), dice.mean()


def train(
    cases: Sequence[LabelledCase],
    steps: int,
    seed: int,
    on_log: Callable[[int, Any], None] | None = None,
) -> Any:
    """Trains a segmenter; equal arguments give equal parameters on one machine.

    Args:
        cases: to learn from.
        steps: of `BATCH` patches each.
        seed: of parameters and patches.
        on_log: called with step and parameters every 50 steps, and at the end.

    Returns:
        Parameters, the mean of the last steps weighted by 0.99 a step.
    """
    rng = np.random.default_rng((seed, 11))
    params = mean = first_params(seed)
    rate = optax.warmup_cosine_decay_schedule(0, RATE, max(steps // 20, 1), steps, RATE / 50)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-4))
    state = optimiser.init(params)

    @jax.jit
    def step(params, state, mean, batch, keep):
        (_, dice), grads = jax.value_and_grad(loss, has_aux=True)(params, batch)
        updates, state = optimiser.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, mean, params)
        return params, state, mean, dice

    reached, began = [], time.monotonic()
    for number in range(1, steps + 1):
        drawn = [draw_sample(rng, cases) for _ in range(BATCH)]
        batch = Sample(*(np.stack(part) for part in zip(*drawn)))
        params, state, mean, dice = step(
            params, state, mean, batch, min(0.99, (number - 1) / number)
        )
        reached.append(dice)
        if number % 50 == 0 or number == steps:
            shown, reached = np.mean(jax.device_get(reached)), []
            logging.info("step %d: Dice %.3f, %.0f s", number, shown, time.monotonic() - began)
            if on_log is not None:
                on_log(number, mean)
    return mean
