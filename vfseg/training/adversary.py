"""The discriminator's half of the game, and what keeps it from winning too early."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from vfseg.models.discriminator import Discriminator
from vfseg.training.collectives import Devices, Term, combined, mean
from vfseg.training.losses import adversarial_loss, patch_accuracy
from vfseg.training.schedules import Schedule

ACCURACY_MEMORY = 0.9
"""Share that the running accuracy keeps at each step: it looks back over about 10 steps."""
SHOWN = 0.1
"""Probability from which a pixel of a map shows something."""


@dataclasses.dataclass(frozen=True)
class AdversaryUpdate:
    """The discriminator, how it learns, and what its verdict means to the generator.

    Attributes:
        network: see `vfseg.models.discriminator`.
        optimizer: directions of its updates, before the learning rate.
        rate: its learning rate by step of the whole training.
        pause_above: it rests while its running accuracy, 0..1, is above this.
        form: of the loss, one of `ADVERSARIAL_FORMS`.
        everywhere: False judges only patches that show something, see `patch_weights`.
        r1: weight of its gradient penalty, see `r1_penalty`; 0 leaves it out.
        weight: of its verdict in the generator's loss, by step.
    """

    network: Discriminator
    optimizer: optax.GradientTransformation
    rate: Schedule
    pause_above: float
    form: str
    everywhere: bool
    r1: float
    weight: Schedule


class Pairs(NamedTuple):
    """CT slices, each with the map that was drawn of it and the one that was predicted.

    Attributes:
        ct: `n h w c`, -1..1.
        real: drawn masks `n h w`, 0 or 1.
        fake: predicted probabilities `n h w`.
    """

    ct: jax.Array
    real: jax.Array
    fake: jax.Array


def discriminator_loss(
    d_params: Any, d_stats: Any, pairs: Pairs, settings: AdversaryUpdate, devices: Devices
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    """Half the loss on real plus half that on fake maps (the half is pix2pix's), plus R1.

    Args:
        d_params: parameters to differentiate.
        d_stats: state of the spectral norm; empty without.
        pairs: this device's; `fake` is detached.
        settings: static.
        devices: that share the batch.

    Returns:
        The loss, and (its parts and the accuracy, the next `d_stats`).
    """
    ct, real, fake = pairs
    variables = {"params": d_params, "batch_stats": d_stats}
    judged: Any = settings.network.apply(
        variables,
        jnp.concatenate([ct, ct]),
        jnp.concatenate([real, fake]),
        update_stats=True,
        mutable=["batch_stats"],
    )
    logits, changed = judged
    real_logits, fake_logits = jnp.split(logits, 2)
    weights = _weights(pairs, real_logits.shape, settings)
    terms = {
        "discriminator_loss": combined(
            lambda on_real, on_fake: 0.5 * (on_real + on_fake),
            adversarial_loss(real_logits, real=True, form=settings.form, weights=weights),
            adversarial_loss(fake_logits, real=False, form=settings.form, weights=weights),
        ),
        "discriminator_accuracy": patch_accuracy(real_logits, fake_logits, weights=weights),
    }
    if settings.r1:
        terms["r1"] = r1_penalty(variables, settings.network, ct, real)
    outputs = devices.exchange(terms)
    loss = outputs["discriminator_loss"]
    if settings.r1:
        loss += settings.r1 / 2 * outputs["r1"]
    return loss, (outputs, changed.get("batch_stats", d_stats))


def deception_loss(variables: Any, pairs: Pairs, settings: AdversaryUpdate) -> Term:
    """How far the discriminator is from taking the predicted maps for drawn ones.

    Args:
        variables: of the discriminator.
        pairs: this device's; the loss is differentiated by `fake`.
        settings: static.
    """
    verdict: Any = settings.network.apply(variables, pairs.ct, pairs.fake)
    weights = _weights(pairs, verdict.shape, settings)
    return adversarial_loss(verdict, real=True, form=settings.form, generator=True, weights=weights)


def _weights(pairs: Pairs, shape: tuple[int, ...], settings: AdversaryUpdate) -> jax.Array | None:
    return None if settings.everywhere else patch_weights(pairs.real, pairs.fake, shape)


def patch_weights(real: jax.Array, fake: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """1 for patches in which, or beside which, either map shows something, else 0.

    Most patches hold no fracture. Real and predicted maps are alike there, so these patches teach
    nothing, and they outnumber those that do.

    Args:
        real: drawn masks `n h w`.
        fake: predicted probabilities `n h w`.
        shape: `n h' w'` of the discriminator's logits; h' and w' divide h and w.
    """
    n, rows, columns = shape
    shown = (jnp.maximum(real, lax.stop_gradient(fake)) >= SHOWN).astype(jnp.float32)
    blocks = shown.reshape(n, rows, real.shape[1] // rows, columns, real.shape[2] // columns)
    return lax.reduce_window(blocks.max(axis=(2, 4)), 0.0, lax.max, (1, 3, 3), (1, 1, 1), "SAME")


def r1_penalty(variables: Any, network: Discriminator, ct: jax.Array, real: jax.Array) -> Term:
    """Mean over the slices of ``|d sum(D(ct, y)) / d y|^2`` at the drawn masks y.

    Mescheder et al., 2018, ICML: Which training methods for GANs do actually converge?

    Args:
        variables: of the discriminator.
        network: the discriminator.
        ct: `n h w c`, -1..1.
        real: drawn masks `n h w`.
    """

    def verdict(fracture: jax.Array) -> jax.Array:
        logits: Any = network.apply(variables, ct, fracture)
        return jnp.sum(logits)

    return mean(jnp.sum(jnp.square(jax.grad(verdict)(real)), axis=(1, 2)))
