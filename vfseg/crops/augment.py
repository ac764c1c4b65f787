"""Augmentation of runs of slices on the device, inside the compiled training step.

A sample is a run of r consecutive slices with the fracture masks of its k middle slices. One
spatial transform in the plane of the slice, sampled once, moves all its slices and masks; then the
CT alone goes through thickness, blur, low resolution, gamma, contrast, HU shift, noise and
sharpening, in this order. A strength of 0 leaves its part out of the compiled program.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vfseg.crops.resolution import (
    blur_matrix,
    low_resolution_matrix,
    matmul,
    separable,
    sharpened,
    thickness_matrix,
)
from vfseg.crops.settings import ELASTIC_GRID, AugmentSettings
from vfseg.data.settings import PLANE_AXES

# Water stays water: scanners are calibrated to it and differ in bone, so gamma and contrast are
# anchored at 0 HU. Above this range gamma changes nothing.
GAMMA_RANGE = 1800.0  # HU
KERNEL_MM = 1.25  # what kernels sharpen and soften

# Drawn apart, so that the numbers of the others stay as they were before there were these.
_DRAWN_APART = ("thickness", "sharpness")


def augment(
    keys: jax.Array,
    ct: jax.Array,
    target: jax.Array,
    planes: jax.Array,
    settings: AugmentSettings,
    *,
    voxel_spacing: float,
) -> tuple[jax.Array, jax.Array]:
    """Transforms every sample of a batch in its own random way.

    Args:
        keys: typed keys `b`, one a sample; its draws depend on nothing else.
        ct: HU float32 `b r h w`.
        target: 0 or 1, float32 `b k h w`; mask j belongs to slice j + (r - k) / 2.
        planes: of each sample, `b`, numbers as in `PLANE_AXES`. In the sagittal plane slices follow
            each other to the patient's right, in the others w runs there; h and w need no other
            rule.
        settings: strengths, static.
        voxel_spacing: of the isotropic crop, mm; static.

    Returns:
        CT and masks of the same shapes and dtypes; masks are still 0 or 1.
    """
    grid = [elastic_basis(size, ELASTIC_GRID / voxel_spacing) for size in ct.shape[2:]]

    def one(
        keys: jax.Array, ct: jax.Array, target: jax.Array, plane: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        numbers_key, noise_key = keys
        numbers = _draw(numbers_key, 2 * grid[0].shape[1] * grid[1].shape[1])
        if settings.thickness or settings.sharpness:
            apart = jax.random.uniform(jax.random.fold_in(numbers_key, 1), (2, 2))
            numbers |= dict(zip(_DRAWN_APART, apart))
        if settings.left_right_flip:
            flip = numbers["left_right_flip"][0] < settings.left_right_flip
            ct, target = (jnp.where(flip, mirror(x, plane), x) for x in (ct, target))
        if settings.rotation or settings.scaling or settings.translation or settings.elastic:
            coordinates = _draw_coordinates(numbers, grid, settings, voxel_spacing)
            ct, target = warp(ct, target, coordinates)
        return _change_intensity(noise_key, numbers, ct, settings, voxel_spacing), target

    return jax.vmap(one)(jax.vmap(jax.random.split)(keys), ct, target, planes)


def mirror(run: jax.Array, plane: jax.Array) -> jax.Array:
    """Exchanges the patient's left and right in a run `n h w` of a plane (as in `PLANE_AXES`)."""
    sagittal = plane == PLANE_AXES["sagittal"]
    return jnp.where(sagittal, jnp.flip(run, 0), jnp.flip(run, 2))


def source_coordinates(
    shape: tuple[int, ...],
    angle: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    shift: jax.Array | tuple[float, float] = (0.0, 0.0),
    displacement: jax.Array | float = 0.0,
) -> jax.Array:
    """Where in the source each output pixel looks: `2 h w`, pixels.

    A point at p (from the centre of the field) lands at ``q = scale R(angle) p + shift``, and then
    at the point whose ``q + displacement`` it is; the sampling needs the inverse,
    ``p = R(-angle) (q + displacement - shift) / scale``. R turns +h towards +w.

    Args:
        shape: h and w.
        angle: radians.
        scale: above 1 enlarges.
        shift: along h and w, pixels.
        displacement: `2 h w` or a scalar, pixels.
    """
    h, w = shape
    centre = np.array([h - 1, w - 1], np.float32).reshape(2, 1, 1) / 2
    moved = jnp.asarray(np.indices((h, w), np.float32) - centre)
    moved = moved + displacement - jnp.asarray(shift, jnp.float32).reshape(2, 1, 1)
    cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    return jnp.stack([cos * moved[0] + sin * moved[1], cos * moved[1] - sin * moved[0]]) + centre


def warp(ct: jax.Array, target: jax.Array, coordinates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Samples CT and masks of one run bilinearly at the same places.

    Outside the field the CT repeats its edge: crops have real anatomy up to their edge, and an edge
    to air inside the picture would be something that no crop shows. Masks are 0 there.

    Masks are cut at 0.5 after the interpolation. The profile of a sheet n pixels thick becomes a
    trapezoid that is n wide at 0.5, even for n = 1, so thin sheets keep their area (99 % at two
    pixels, 93 % at one, in all directions); left soft, they would be pale at most of their pixels
    and teach the network to be unsure of them.

    Args:
        ct: `r h w`.
        target: `k h w`, 0 or 1.
        coordinates: `2 h w`, source pixels.

    Returns:
        CT `r h w` and masks `k h w`.
    """
    r, h, w = ct.shape
    y = jnp.clip(coordinates[0], 0, h - 1)
    x = jnp.clip(coordinates[1], 0, w - 1)
    # At the far edge the cell before it, with weight 1 on its end.
    top = jnp.minimum(jnp.floor(y), h - 2)
    left = jnp.minimum(jnp.floor(x), w - 2)
    down, right = (y - top).reshape(-1, 1), (x - left).reshape(-1, 1)
    corner = (top * w + left).astype(jnp.int32).reshape(-1)

    # Slices last: one index fetches a pixel of all slices and masks.
    pixels = jnp.concatenate([ct, target]).reshape(-1, h * w).T

    def at(offset: int) -> jax.Array:
        return pixels.at[corner + offset].get(mode="promise_in_bounds")

    above = at(0) * (1 - right) + at(1) * right
    below = at(w) * (1 - right) + at(w + 1) * right
    sampled = (above * (1 - down) + below * down).T.reshape(-1, h, w)

    # A pixel reaches half a pixel beyond its centre.
    inside = (jnp.abs(coordinates[0] - y) <= 0.5) & (jnp.abs(coordinates[1] - x) <= 0.5)
    mask = (sampled[r:] >= 0.5) & inside[None]
    return sampled[:r], mask.astype(target.dtype)


def elastic_basis(size: int, spacing: float) -> np.ndarray:
    """Cubic B-splines `size n` on control points `spacing` pixels apart.

    The first control point lies one spacing before pixel 0.
    """
    points = np.arange(math.ceil((size - 1) / spacing) + 3) - 1
    u = np.abs(np.arange(size)[:, None] / spacing - points)
    near, far = 2 / 3 - u**2 + u**3 / 2, np.maximum(2 - u, 0) ** 3 / 6
    return np.where(u < 1, near, far).astype(np.float32)


def apply_gamma(ct: jax.Array, exponent: ArrayLike) -> jax.Array:
    """``GAMMA_RANGE (HU / GAMMA_RANGE) ** exponent`` within 0..GAMMA_RANGE, unchanged outside."""
    inside = (ct > 0) & (ct < GAMMA_RANGE)
    relative = jnp.where(inside, ct, GAMMA_RANGE) / GAMMA_RANGE
    return jnp.where(inside, GAMMA_RANGE * relative**exponent, ct)


def _draw(key: jax.Array, control_points: int) -> dict[str, jax.Array]:
    """Numbers in 0..1 for every strength: one for each control point of `elastic`, else two.

    All in one draw, since each costs half a second of compilation on a CPU.
    """
    names = [
        field.name
        for field in dataclasses.fields(AugmentSettings)
        if field.name not in _DRAWN_APART
    ]
    ends = np.cumsum([control_points if name == "elastic" else 2 for name in names])
    drawn = jax.random.uniform(key, (int(ends[-1]),))
    return dict(zip(names, jnp.split(drawn, ends[:-1])))


def _draw_coordinates(
    numbers: dict[str, jax.Array],
    grid: list[np.ndarray],
    settings: AugmentSettings,
    voxel_spacing: float,
) -> jax.Array:
    """One spatial transform from the numbers drawn and the elastic bases along h and w."""
    rows, columns = grid
    displacement: jax.Array | float = 0.0
    if settings.elastic:
        control = numbers["elastic"].reshape(2, rows.shape[1], columns.shape[1])
        control = _symmetric(control, settings.elastic / voxel_spacing)
        displacement = separable(rows, control, columns)
    return source_coordinates(
        (rows.shape[0], columns.shape[0]),
        angle=_symmetric(numbers["rotation"][0], math.radians(settings.rotation)),
        scale=_factor(numbers["scaling"][0], settings.scaling),
        shift=_symmetric(numbers["translation"], settings.translation / voxel_spacing),
        displacement=displacement,
    )


def _change_intensity(
    key: jax.Array,
    numbers: dict[str, jax.Array],
    ct: jax.Array,
    settings: AugmentSettings,
    voxel_spacing: float,
) -> jax.Array:
    """Transforms the CT `r h w` alone, by numbers and a key for the noise."""
    if settings.thickness:
        width, axis = numbers["thickness"] * jnp.array([settings.thickness / voxel_spacing, 3])
        for number, size in enumerate(ct.shape):
            matrix = thickness_matrix(size, jnp.where(jnp.floor(axis) == number, width, 1))
            ct = jnp.moveaxis(matmul(matrix, jnp.moveaxis(ct, number, 1)), 1, number)
    # Blur and low resolution are both linear along each axis: one product of matrices an axis.
    matrices: list[jax.Array] = []
    if settings.blur:
        sigma = numbers["blur"][0] * (settings.blur / voxel_spacing)
        matrices = [blur_matrix(size, sigma) for size in ct.shape[1:]]
    if settings.low_resolution:
        factors = 1 + settings.low_resolution * numbers["low_resolution"]
        coarse = [low_resolution_matrix(n, f) for n, f in zip(ct.shape[1:], factors)]
        matrices = [matmul(c, m) for c, m in zip(coarse, matrices)] if matrices else coarse
    if matrices:
        ct = separable(matrices[0], ct, matrices[1])
    if settings.gamma:
        ct = apply_gamma(ct, _factor(numbers["gamma"][0], settings.gamma))
    if settings.contrast:
        ct = ct * _factor(numbers["contrast"][0], settings.contrast)
    if settings.hu_shift:
        ct = ct + _symmetric(numbers["hu_shift"][0], settings.hu_shift)
    if settings.noise:
        deviation = settings.noise * numbers["noise"][0]
        ct = ct + deviation * jax.random.normal(key, ct.shape)
    if settings.sharpness:
        strength = settings.sharpness * (1.5 * numbers["sharpness"][0] - 0.5)
        ct = sharpened(ct, strength, KERNEL_MM / voxel_spacing)
    return ct


def _symmetric(number: jax.Array, limit: float) -> jax.Array:
    """From 0..1 to -limit..limit."""
    return (2 * number - 1) * limit


def _factor(number: jax.Array, strength: float) -> jax.Array:
    """From 0..1 to 1 / (1 + strength)..1 + strength, log-uniformly."""
    return jnp.exp(_symmetric(number, math.log1p(strength)))
