"""Losses of the generator and the discriminator.

Each is a pure function of logits or probabilities and a target, reduced to one float32 scalar
over the *global* batch. Where the batch is split over devices, `axis_name` names the axis over
which sums are taken, so that one device and many compute the same number. (A Dice of device-wise
sums would be another loss.)
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax


def cross_entropy(
    logits: jax.Array, target: jax.Array, *, axis_name: str | None = None
) -> jax.Array:
    """Mean binary cross-entropy: ``-y log p - (1 - y) log(1 - p)`` with ``p = sigmoid(logit)``.

    Args:
        logits: any shape, float32.
        target: 0..1, same shape.
        axis_name: axis of the devices that share the batch, if any.

    >>> round(float(cross_entropy(jnp.zeros(4), jnp.array([0.0, 1, 0, 1]))), 6)
    0.693147
    """
    return _mean(optax.sigmoid_binary_cross_entropy(logits, target), axis_name)


def l1(probability: jax.Array, target: jax.Array, *, axis_name: str | None = None) -> jax.Array:
    """Mean absolute difference, the reconstruction term of pix2pix (Isola et al., 2017, CVPR).

    >>> float(l1(jnp.array([0.5, 1.0]), jnp.array([0.0, 1.0])))
    0.25
    """
    return _mean(jnp.abs(probability - target), axis_name)


def dice_loss(
    probability: jax.Array, target: jax.Array, *, smooth: float = 1.0, axis_name: str | None = None
) -> jax.Array:
    """Soft Dice loss pooled over the batch: ``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)``.

    Pooled, because most windows hold no fracture and a Dice of an empty window teaches nothing.
    Milletari et al., 2016, 3DV (there with squares in the denominator).

    Args:
        probability: 0..1, any shape.
        target: 0..1, same shape.
        smooth: s, in pixels; keeps an empty target against an empty prediction at loss 0.
        axis_name: axis of the devices that share the batch, if any.

    >>> round(float(dice_loss(jnp.array([1.0, 0, 0]), jnp.array([1.0, 1, 0]), smooth=0.0)), 6)
    0.333333
    """
    overlap = _sum(probability * target, axis_name)
    size = _sum(probability, axis_name) + _sum(target, axis_name)
    return 1 - (2 * overlap + smooth) / (size + smooth)


def focal_loss(
    logits: jax.Array,
    target: jax.Array,
    *,
    gamma: float = 2.0,
    alpha: float = 0.75,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean of ``-a_t (1 - p_t)^gamma log p_t``: cross-entropy that turns from what is easy.

    ``p_t`` is the probability given to what is true, ``a_t`` is alpha on fracture and 1 - alpha on
    background. Lin et al., 2017, ICCV: Focal loss for dense object detection (there alpha is 0.25,
    for a negative class already thinned out).

    Args:
        logits: any shape, float32.
        target: 0..1, same shape.
        gamma: 0 gives the weighted cross-entropy.
        alpha: weight of fracture, 0..1.
        axis_name: axis of the devices that share the batch, if any.

    >>> round(float(focal_loss(jnp.zeros(2), jnp.array([1.0, 0.0]))), 6)  # log(2) / 4 / 2
    0.086643
    """
    return _mean(optax.sigmoid_focal_loss(logits, target, alpha=alpha, gamma=gamma), axis_name)


def focal_tversky_loss(
    probability: jax.Array,
    target: jax.Array,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    smooth: float = 1.0,
    axis_name: str | None = None,
) -> jax.Array:
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
        axis_name: axis of the devices that share the batch, if any.

    >>> p, y = jnp.array([1.0, 1, 0]), jnp.array([1.0, 0, 1])
    >>> float(focal_tversky_loss(p, y, gamma=1, smooth=0))  # 1 - 1 / (1 + 0.3 + 0.7)
    0.5
    """
    true_positives = _sum(probability * target, axis_name)
    false_positives = _sum(probability, axis_name) - true_positives
    false_negatives = _sum(target, axis_name) - true_positives
    wrong = alpha * false_positives + beta * false_negatives
    share = wrong / (true_positives + wrong + smooth)  # 1 - T
    # The power's slope is infinite at 0; a floor far below any real error keeps it finite.
    return jnp.maximum(share, 1e-6) ** (1 / gamma)


ADVERSARIAL_FORMS = ("cross_entropy", "least_squares", "hinge")


def adversarial_loss(
    logits: jax.Array,
    real: bool,
    *,
    form: str = "cross_entropy",
    generator: bool = False,
    weights: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
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
        axis_name: axis of the devices that share the batch, if any.

    >>> round(float(adversarial_loss(jnp.zeros((1, 2, 2)), True)), 6)
    0.693147
    >>> float(adversarial_loss(jnp.array([-0.5]), True, form="least_squares"))
    1.0
    >>> float(adversarial_loss(jnp.array([3.0]), True, form="hinge", generator=True))
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
    return _weighted_mean(loss, weights, axis_name)


def patch_accuracy(
    real_logits: jax.Array,
    fake_logits: jax.Array,
    *,
    weights: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Share of patches that the discriminator judges rightly, real and fake weighing the same.

    >>> float(patch_accuracy(jnp.array([1.0, -1.0]), jnp.array([-1.0, -2.0])))
    0.75
    """
    right_real = _weighted_mean((real_logits > 0).astype(jnp.float32), weights, axis_name)
    right_fake = _weighted_mean((fake_logits <= 0).astype(jnp.float32), weights, axis_name)
    return (right_real + right_fake) / 2


def mean_by_class(
    probability: jax.Array, target: jax.Array, *, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Mean probability on fracture and on background; 0 where there is none of a kind.

    >>> x, y = mean_by_class(jnp.array([0.75, 0.25, 0.5]), jnp.array([1.0, 0, 0]))
    >>> float(x), float(y)
    (0.75, 0.375)
    """
    fracture, area = _sum(probability * target, axis_name), _sum(target, axis_name)
    background = _sum(probability * (1 - target), axis_name)
    rest = _sum(1 - target, axis_name)
    return fracture / jnp.maximum(area, 1e-6), background / jnp.maximum(rest, 1e-6)


def _sum(x: jax.Array, axis_name: str | None) -> jax.Array:
    total = jnp.sum(x, dtype=jnp.float32)
    return total if axis_name is None else lax.psum(total, axis_name)


def _mean(x: jax.Array, axis_name: str | None) -> jax.Array:
    mean = jnp.mean(x, dtype=jnp.float32)
    return mean if axis_name is None else lax.pmean(mean, axis_name)


def _weighted_mean(x: jax.Array, weights: jax.Array | None, axis_name: str | None) -> jax.Array:
    """Mean of x; weighted where there are weights, and 0 where all of them are 0."""
    if weights is None:
        return _mean(x, axis_name)
    return _sum(weights * x, axis_name) / jnp.maximum(_sum(weights, axis_name), 1e-6)
