"""The discriminator's half of the game, and what keeps it from winning too early."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from vfseg.models.discriminator import Discriminator
from vfseg.training import losses

ACCURACY_MEMORY = 0.9
"""Share that the running accuracy keeps at each step: it looks back over about 10 steps."""


def discriminator_loss(
    d_params: Any,
    d_stats: Any,
    discriminator: Discriminator,
    ct: jax.Array,
    real: jax.Array,
    fake: jax.Array,
    *,
    form: str = "cross_entropy",
    everywhere: bool = True,
    r1: float = 0.0,
    axis_name: str | None = None,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    """Half the loss on real plus half that on fake maps (the half is pix2pix's), plus R1.

    Args:
        d_params: parameters to differentiate.
        d_stats: state of the spectral norm; empty without.
        discriminator: the network.
        ct: slices `n h w c`.
        real: drawn masks `n h w`.
        fake: predicted probabilities `n h w`, detached.
        form: one of `losses.ADVERSARIAL_FORMS`.
        everywhere: False looks only at patches that show something, see `patch_weights`.
        r1: weight of `r1_penalty`; 0 leaves it out.
        axis_name: axis of the devices that share the batch, if any.

    Returns:
        The loss, and (its parts and the accuracy, the next `d_stats`).
    """
    pairs = jnp.concatenate([ct, ct]), jnp.concatenate([real, fake])
    variables = {"params": d_params, "batch_stats": d_stats}
    judged: Any = discriminator.apply(variables, *pairs, True, mutable=["batch_stats"])
    logits, changed = judged
    real_logits, fake_logits = jnp.split(logits, 2)
    how: Any = {
        "weights": None if everywhere else patch_weights(real, fake, real_logits.shape),
        "axis_name": axis_name,
    }
    loss = 0.5 * (
        losses.adversarial_loss(real_logits, True, form=form, **how)
        + losses.adversarial_loss(fake_logits, False, form=form, **how)
    )
    outputs = {
        "discriminator_loss": loss,
        "discriminator_accuracy": losses.patch_accuracy(real_logits, fake_logits, **how),
    }
    if r1:
        outputs["r1"] = r1_penalty(variables, discriminator, ct, real, axis_name)
        loss += r1 / 2 * outputs["r1"]
    return loss, (outputs, changed.get("batch_stats", d_stats))


SHOWN = 0.1
"""Probability from which a pixel of a map shows something."""


def patch_weights(real: jax.Array, fake: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """1 for patches in which, or beside which, either map shows something, else 0.

    Most patches hold no fracture. There real and predicted maps are alike, nothing can be told
    apart, and what can be told in the few others drowns.

    Args:
        real: drawn masks `n h w`.
        fake: predicted probabilities `n h w`.
        shape: `n h' w'` of the discriminator's logits; h' and w' divide h and w.
    """
    n, rows, columns = shape
    shown = (jnp.maximum(real, lax.stop_gradient(fake)) >= SHOWN).astype(jnp.float32)
    blocks = shown.reshape(n, rows, real.shape[1] // rows, columns, real.shape[2] // columns)
    return lax.reduce_window(blocks.max(axis=(2, 4)), 0.0, lax.max, (1, 3, 3), (1, 1, 1), "SAME")


def r1_penalty(
    variables: Any,
    discriminator: Discriminator,
    ct: jax.Array,
    real: jax.Array,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean over the slices of ``|d sum(D(ct, y)) / d y|^2`` at the drawn masks y.

    Mescheder et al., 2018, ICML: Which training methods for GANs do actually converge?
    """

    def verdict(fracture: jax.Array) -> jax.Array:
        logits: Any = discriminator.apply(variables, ct, fracture)
        return jnp.sum(logits)

    squared = jnp.sum(jnp.square(jax.grad(verdict)(real)), axis=(1, 2))
    mean = jnp.mean(squared)
    return mean if axis_name is None else lax.pmean(mean, axis_name)
