"""From Hounsfield units to the channels that the networks see."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def to_channels(ct: jax.Array, hu_windows: Sequence[tuple[float, float]]) -> jax.Array:
    """Clips to each HU window and scales it to -1..1: `...` -> `... c`, float32.

    Args:
        ct: HU, any shape and real dtype.
        hu_windows: `(low, high)` in HU, one a channel.

    >>> to_channels(jnp.array([-1000, 0, 900, 3000]), [(0, 1800)])[:, 0].tolist()
    [-1.0, -1.0, 0.0, 1.0]
    """
    ct = ct.astype(jnp.float32)
    scaled = [2 * (jnp.clip(ct, low, high) - low) / (high - low) - 1 for low, high in hu_windows]
    return jnp.stack(scaled, axis=-1)
