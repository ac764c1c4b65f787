"""Adam with a clock for each array, for networks whose parts begin to learn at different times.

In staged training the ConvLSTM and a frozen encoder have no gradient for thousands of steps. Adam
counts steps for all arrays together, so its correction of the moments, which begin at zero, would
have faded when such a part wakes up: its first updates would be up to
``(1 - b1) / sqrt(1 - b2)`` (three) times the learning rate, and too long for hundreds of steps.
Here an array's clock starts with its first gradient; until then nothing moves it, not even weight
decay.

References:
    Kingma & Ba, 2015, ICLR: Adam, a method for stochastic optimization.
    Loshchilov & Hutter, 2019, ICLR: Decoupled weight decay regularization.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

_B2, _EPSILON = 0.999, 1e-8


class AdamState(NamedTuple):
    """Trees like the parameters.

    Attributes:
        count: updates of each array since it woke up, int32.
        mu: running means of the gradients.
        nu: running means of their squares.
    """

    count: Any
    mu: Any
    nu: Any


def adam(b1: float = 0.9, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """Directions of Adam; the step multiplies them by minus the learning rate.

    Where all arrays have a gradient from the first step on, the same as `optax.adam(w)`.

    Args:
        b1: of the first moment.
        weight_decay: share of the parameters that is added, decoupled from the moments.
    """

    def init(params: Any) -> AdamState:
        return AdamState(
            jax.tree.map(lambda _: jnp.zeros((), jnp.int32), params),
            jax.tree.map(jnp.zeros_like, params),
            jax.tree.map(jnp.zeros_like, params),
        )

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, AdamState]:
        def count_on(count: jax.Array, g: jax.Array) -> jax.Array:
            return count + ((count > 0) | jnp.any(g != 0)).astype(jnp.int32)

        def direction(n: jax.Array, m: jax.Array, v: jax.Array, p: jax.Array) -> jax.Array:
            t = jnp.maximum(n, 1).astype(jnp.float32)
            mean, square = m / (1 - b1**t), v / (1 - _B2**t)
            return jnp.where(n > 0, mean / (jnp.sqrt(square) + _EPSILON) + weight_decay * p, 0)

        count = jax.tree.map(count_on, state.count, gradient)
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, gradient)
        nu = jax.tree.map(lambda v, g: _B2 * v + (1 - _B2) * g * g, state.nu, gradient)
        return jax.tree.map(direction, count, mu, nu, params), AdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)
