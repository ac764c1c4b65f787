"""Losses of the generator and the discriminator.

Each is a pure function of logits or probabilities and a target of any shape, float32, and gives a
`Term`: what a device contributes from its share of the batch, and how the loss follows from what
all contribute (see `vfseg.training.collectives`). `term.alone()` is the loss of the share itself.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from vfseg.training.collectives import Term, combined, mean, of_sums, weighted_mean
from vfseg.training.settings import ADVERSARIAL_FORMS


def cross_entropy(logits: jax.Array, target: jax.Array) -> Term:
    """Mean binary cross-entropy: ``-y log p - (1 - y) log(1 - p)`` with ``p = sigmoid(logit)``.

    Args:
        logits: any shape, float32.
        target: 0..1, same shape.

    >>> round(float(cross_entropy(jnp.zeros(4), jnp.array([0.0, 1, 0, 1])).alone()), 6)
    0.693147
    """
    return mean(optax.sigmoid_binary_cross_entropy(logits, target))


def l1(probability: jax.Array, target: jax.Array) -> Term:
    """Mean absolute difference, the reconstruction term of pix2pix (Isola et al., 2017, CVPR).

    Args:
        probability: 0..1, any shape.
        target: 0..1, same shape.

    >>> float(l1(jnp.array([0.5, 1.0]), jnp.array([0.0, 1.0])).alone())
    0.25
    """
    return mean(jnp.abs(probability - target))


def dice_loss(probability: jax.Array, target: jax.Array, *, smooth: float = 1.0) -> Term:
    """Soft Dice loss pooled over the batch: ``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)``.

    Pooled, because most windows hold no fracture and a Dice of an empty window teaches nothing.
    Milletari et al., 2016, 3DV (there with squares in the denominator).

    Args:
        probability: 0..1, any shape.
        target: 0..1, same shape.
        smooth: s, in pixels; keeps an empty target against an empty prediction at loss 0.

    >>> p, y = jnp.array([1.0, 0, 0]), jnp.array([1.0, 1, 0])
    >>> round(float(dice_loss(p, y, smooth=0.0).alone()), 6)
    0.333333
    """

    def value(overlap: jax.Array, predicted: jax.Array, true: jax.Array) -> jax.Array:
        size = predicted + true
        return 1 - (2 * overlap + smooth) / (size + smooth)

    return of_sums(value, probability * target, probability, target)


def focal_loss(
    logits: jax.Array, target: jax.Array, *, gamma: float = 2.0, alpha: float = 0.75
) -> Term:
    """Mean of ``-a_t (1 - p_t)^gamma log p_t``: cross-entropy that turns from what is easy.

    ``p_t`` is the probability given to what is true, ``a_t`` is alpha on fracture and 1 - alpha on
    background. Lin et al., 2017, ICCV: Focal loss for dense object detection (there alpha is 0.25,
    for a negative class already thinned out).

    Args:
        logits: any shape, float32.
        target: 0..1, same shape.
        gamma: 0 gives the weighted cross-entropy.
        alpha: weight of fracture, 0..1.

    >>> loss = focal_loss(jnp.zeros(2), jnp.array([1.0, 0.0]))
    >>> round(float(loss.alone()), 6)  # log(2) / 4 / 2
    0.086643
    """
    return mean(optax.sigmoid_focal_loss(logits, target, alpha=alpha, gamma=gamma))


def focal_tversky_loss(
    probability: jax.Array,
    target: jax.Array,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    smooth: float = 1.0,
) -> Term:
    """``(1 - T)^(1 / gamma)``, ``T = (TP + s) / (TP + alpha FP + beta FN + s)``, pooled.

    With beta above alpha a missed voxel costs more than a false one. TP, FP and FN are the soft
    sums ``sum(p y)``, ``sum(p (1 - y))``, ``sum((1 - p) y)``. Abraham & Khan, 2019, ISBI: A novel
    focal Tversky loss function with improved attention U-Net.

    Args:
        probability: 0..1, any shape.
        target: 0..1, same shape.
        alpha: weight of false positives.
        beta: weight of false negatives.
        gamma: above 1 turns towards what is badly segmented.
        smooth: s, in pixels; keeps an empty target against an empty prediction at loss 0.

    >>> p, y = jnp.array([1.0, 1, 0]), jnp.array([1.0, 0, 1])
    >>> loss = focal_tversky_loss(p, y, gamma=1, smooth=0)
    >>> float(loss.alone())  # 1 - 1 / (1 + 0.3 + 0.7)
    0.5
    """

    def value(true_positives: jax.Array, predicted: jax.Array, true: jax.Array) -> jax.Array:
        false_positives = predicted - true_positives
        false_negatives = true - true_positives
        wrong = alpha * false_positives + beta * false_negatives
        share = wrong / (true_positives + wrong + smooth)  # 1 - T
        # The power's slope is infinite at 0; a floor far below any real error keeps it finite.
        return jnp.maximum(share, 1e-6) ** (1 / gamma)

    return of_sums(value, probability * target, probability, target)


SUPERVISED_LOSSES: dict[str, Callable[[jax.Array, jax.Array, jax.Array], Term]] = {
    "l1": lambda logits, probability, target: l1(probability, target),
    "dice": lambda logits, probability, target: dice_loss(probability, target),
    "cross_entropy": lambda logits, probability, target: cross_entropy(logits, target),
    "focal": lambda logits, probability, target: focal_loss(logits, target),
    "focal_tversky": lambda logits, probability, target: focal_tversky_loss(probability, target),
}
"""Those of `vfseg.training.settings.SUPERVISED`, by the names of their weights."""


def adversarial_loss(
    logits: jax.Array,
    *,
    real: bool,
    form: str = "cross_entropy",
    generator: bool = False,
    weights: jax.Array | None = None,
) -> Term:
    """Mean over the patches of how far the discriminator's logits are from "real" or "fake".

    - cross_entropy: ``-log sigmoid(x)`` for real, ``-log sigmoid(-x)`` for fake (Isola et al.,
      2017, CVPR);
    - least_squares: ``(x - 1)^2`` for real, ``x^2`` for fake (Mao et al., 2017, ICCV); decides at
      1/2, so half a logit is added and the decision stays at 0;
    - hinge: ``max(0, 1 - x)`` for real, ``max(0, 1 + x)`` for fake; the generator, which wants
      "real", takes ``-x`` (Lim & Ye, 2017, arXiv:1705.02894).

    Args:
        logits: of patches, any shape.
        real: what they should say.
        form: one of `ADVERSARIAL_FORMS`.
        generator: whether it is the generator that asks.
        weights: of the patches, 0 or more, same shape; None counts all alike.

    >>> round(float(adversarial_loss(jnp.zeros((1, 2, 2)), real=True).alone()), 6)
    0.693147
    >>> float(adversarial_loss(jnp.array([-0.5]), real=True, form="least_squares").alone())
    1.0
    >>> loss = adversarial_loss(jnp.array([3.0]), real=True, form="hinge", generator=True)
    >>> float(loss.alone())
    -3.0
    """
    sign = 1.0 if real else -1.0
    if form == "cross_entropy":
        loss = optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, float(real)))
    elif form == "least_squares":
        loss = jnp.square(logits + 0.5 - float(real))
    elif form == "hinge":
        loss = -sign * logits if generator else nn.relu(1 - sign * logits)
    else:
        raise ValueError(f"no adversarial loss {form!r}; there are {', '.join(ADVERSARIAL_FORMS)}")
    return _mean_over_patches(loss, weights)


def patch_accuracy(
    real_logits: jax.Array, fake_logits: jax.Array, *, weights: jax.Array | None = None
) -> Term:
    """Share of patches that the discriminator judges rightly, real and fake weighing the same.

    Args:
        real_logits: of drawn maps, any shape.
        fake_logits: of predicted maps, any shape.
        weights: of the patches of both, 0 or more; None counts all alike.

    >>> float(patch_accuracy(jnp.array([1.0, -1.0]), jnp.array([-1.0, -2.0])).alone())
    0.75
    """
    return combined(
        lambda real, fake: (real + fake) / 2,
        _mean_over_patches((real_logits > 0).astype(jnp.float32), weights),
        _mean_over_patches((fake_logits <= 0).astype(jnp.float32), weights),
    )


def _mean_over_patches(x: jax.Array, weights: jax.Array | None) -> Term:
    return mean(x) if weights is None else weighted_mean(x, weights)
