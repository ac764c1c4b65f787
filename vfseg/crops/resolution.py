"""Resolution of slices as products of matrices: blur, large pixels, thick slices, kernels.

Each is linear along an axis, so it is a matrix `size size` whose numbers may be drawn on the
device; its shape is static, and several of them are one product.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike


def blur_matrix(size: int, sigma: ArrayLike) -> jax.Array:
    """Gaussian of standard deviation `sigma` pixels as a matrix `size size`, rows summing to 1."""
    distance = np.subtract.outer(np.arange(size), np.arange(size)).astype(np.float32)
    weights = jnp.exp(-0.5 * (distance / jnp.maximum(sigma, 1e-3)) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def low_resolution_matrix(size: int, factor: ArrayLike) -> jax.Array:
    """Averages over cells of `factor` pixels and interpolates back, linearly: `size size`.

    The number of cells depends on `factor`; cells beyond the last one have no weight.
    """
    pixel = np.arange(size, dtype=np.float32)[None]
    cell = pixel.T
    overlap = jnp.minimum(pixel + 1, (cell + 1) * factor) - jnp.maximum(pixel, cell * factor)
    overlap = jnp.maximum(overlap, 0)
    average = overlap / jnp.maximum(overlap.sum(axis=1, keepdims=True), 1e-6)
    last = jnp.ceil(size / jnp.asarray(factor, jnp.float32) - 1e-3) - 1
    position = jnp.clip((cell + 0.5) / factor - 0.5, 0, last)  # of each pixel, in cells
    interpolate = jnp.maximum(1 - jnp.abs(position - pixel), 0)
    return matmul(interpolate, average)


def thickness_matrix(size: int, width: ArrayLike) -> jax.Array:
    """Means over `width` pixels around each, at least 1, as a matrix `size size`.

    What lies beyond the edge does not count.
    """
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float32)
    half = jnp.maximum(jnp.asarray(width, jnp.float32), 1) / 2
    overlap = jnp.clip(half + 0.5 - distance, 0, 1)
    return overlap / overlap.sum(axis=1, keepdims=True)


def sharpened(images: jax.Array, strength: ArrayLike, sigma: float) -> jax.Array:
    """``image + strength (image - blurred image)`` in the plane, for images `n h w`.

    Args:
        images: any unit.
        strength: 0 changes nothing; below 0 softens.
        sigma: SD of the blur, pixels; static.
    """
    rows, columns = (blur_matrix(size, sigma) for size in images.shape[1:])
    return images + strength * (images - separable(rows, images, columns))


def matmul(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """Matrix product in full float32 on every backend."""
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def separable(rows: ArrayLike, images: jax.Array, columns: ArrayLike) -> jax.Array:
    """``rows image columns^T`` for images `n h w`."""
    return matmul(matmul(rows, images), jnp.asarray(columns).T)
