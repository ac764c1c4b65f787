"""The loop by which the small networks here and in `segmentation` learn."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

Loss = Callable[[Any, Any], tuple[jax.Array, Any]]
"""Maps parameters and a batch to the loss, and what is shown of it: one or several means."""


def fit(
    loss: Loss,
    draw: Callable[[], Any],
    params: Any,
    *,
    batch_size: int,
    rate: float,
    steps: int,
    show: Callable[[int, Any, float], None],
    on_log: Callable[[int, Any], None] | None = None,
) -> Any:
    """Adam with weight decay, its rate warmed up and let fall along a cosine.

    Args:
        loss: of a batch.
        draw: gives a sample, a named tuple of arrays.
        params: to begin with.
        batch_size: samples of a step.
        rate: highest learning rate.
        steps: how many.
        show: called every 50 steps, and at the end, with the step, the mean of what the loss shows
            since the last call, and the seconds so far.
        on_log: called then with the step and the parameters.

    Returns:
        Parameters, the mean of the last steps weighted by 0.99 a step.
    """
    falling = optax.warmup_cosine_decay_schedule(0, rate, max(steps // 20, 1), steps, rate / 50)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(falling, weight_decay=1e-4))
    state = optimiser.init(params)
    mean = params

    @jax.jit
    def step(params, state, mean, batch, keep):
        (_, shown), grads = jax.value_and_grad(loss, has_aux=True)(params, batch)
        updates, state = optimiser.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, mean, params)
        return params, state, mean, shown

    totals, began = [], time.monotonic()
    for number in range(1, steps + 1):
        drawn = [draw() for _ in range(batch_size)]
        batch = type(drawn[0])(*(np.stack(part) for part in zip(*drawn)))
        keep = min(0.99, (number - 1) / number)
        params, state, mean, shown = step(params, state, mean, batch, keep)
        totals.append(shown)
        if number % 50 == 0 or number == steps:
            show(number, np.mean(jax.device_get(totals), 0), time.monotonic() - began)
            totals = []
            if on_log is not None:
                on_log(number, mean)
    return mean
