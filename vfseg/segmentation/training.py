"""Training of the segmenter: its loss, and what it is fitted to."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from vfseg.localisation.fitting import fit
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
    return fit(
        loss,
        lambda: draw_sample(rng, cases),
        first_params(seed),
        batch_size=BATCH,
        rate=RATE,
        steps=steps,
        show=lambda step, dice, seconds: logging.info(
            "step %d: Dice %.3f, %.0f s", step, dice, seconds
        ),
        on_log=on_log,
    )
