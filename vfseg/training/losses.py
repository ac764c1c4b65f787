"""Losses of the generator and the discriminator.

Each is a pure function of logits or probabilities and a target, reduced to one float32 scalar
over the *global* batch. Under `jax.pmap` the batch is split over devices: `axis_name` then names
the axis over which sums are taken, so that one device and many compute the same number. (A Dice
of device-wise sums would be another loss.)
"""

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
      axis_name: pmap axis of the batch, if any.

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
      axis_name: pmap axis of the batch, if any.

    >>> round(float(dice_loss(jnp.array([1.0, 0, 0]), jnp.array([1.0, 1, 0]), smooth=0.0)), 6)
    0.333333
    """
    overlap = _sum(probability * target, axis_name)
    size = _sum(probability, axis_name) + _sum(target, axis_name)
    return 1 - (2 * overlap + smooth) / (size + smooth)


def adversarial_loss(logits: jax.Array, real: bool, *, axis_name: str | None = None) -> jax.Array:
    """Mean cross-entropy of patch logits against "all real" or "all fake" (Isola et al., 2017).

    >>> round(float(adversarial_loss(jnp.zeros((1, 2, 2)), True)), 6)
    0.693147
    """
    return cross_entropy(logits, jnp.full_like(logits, float(real)), axis_name=axis_name)


def patch_accuracy(
    real_logits: jax.Array, fake_logits: jax.Array, *, axis_name: str | None = None
) -> jax.Array:
    """Share of patches that the discriminator judges rightly, real and fake weighing the same.

    >>> float(patch_accuracy(jnp.array([1.0, -1.0]), jnp.array([-1.0, -2.0])))
    0.75
    """
    right_real = _mean((real_logits > 0).astype(jnp.float32), axis_name)
    right_fake = _mean((fake_logits <= 0).astype(jnp.float32), axis_name)
    return (right_real + right_fake) / 2


def _sum(x: jax.Array, axis_name: str | None) -> jax.Array:
    total = jnp.sum(x, dtype=jnp.float32)
    return total if axis_name is None else lax.psum(total, axis_name)


def _mean(x: jax.Array, axis_name: str | None) -> jax.Array:
    mean = jnp.mean(x, dtype=jnp.float32)
    return mean if axis_name is None else lax.pmean(mean, axis_name)
