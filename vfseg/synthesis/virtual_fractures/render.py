"""From a collapse to voxels: the CT resampled with its noise kept, and the signs of a fracture."""

import dataclasses

import numpy as np
from scipy import ndimage

from vfseg.synthesis.phantom.shapes import Local, ramp
from vfseg.synthesis.phantom.sheets import Sheet
from vfseg.synthesis.virtual_fractures.body import STEP_MM, BodyMap
from vfseg.synthesis.virtual_fractures.collapse import Collapse

_TAPS = 11
_SOFT_HU = (-60.0, 140.0)
_DISC_MM = 5.0

DISC_HU = (60.0, 110.0)
"""Of healthy and worn discs."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """Noise of a CT: SD in HU, and correlation of neighbours along d, h, w."""

    sd: float
    correlation: np.ndarray


def measure_noise(ct: np.ndarray, seen: np.ndarray) -> Noise:
    """Noise of the soft tissue of a box, from differences of neighbours.

    With noise of SD s and correlation c, c^4 (a Gaussian) of first and second neighbours along an
    axis, differences have variances 2 s² (1 - c) and 2 s² (1 - c^4); their ratio
    1 + c + c² + c³ gives c, negative where the kernel was sharp. The SD is the smallest of the
    axes' estimates, as anatomy only adds to it. Soft tissue is chosen by the smoothed CT, the
    evenest quarter of it: by their own values, voxels with much noise would be left out, and where
    fat meets muscle, differences are not noise.
    """
    values = ct.astype(np.float32)
    level = ndimage.gaussian_filter(values, 2)
    soft = seen & (level > _SOFT_HU[0]) & (level < _SOFT_HU[1])
    if soft.any():
        slope = ndimage.gaussian_gradient_magnitude(values, 2)
        soft &= slope <= np.quantile(slope[soft], 0.25)
    correlation, sds = np.zeros(3), []
    steps = np.linspace(-0.6, 0.95, 156)
    ratios = 1 + steps + steps**2 + steps**3
    for axis in range(3):
        variance = []
        for lag in (1, 2):
            first = np.take(values, range(values.shape[axis] - lag), axis)
            second = np.take(values, range(lag, values.shape[axis]), axis)
            both = np.take(soft, range(values.shape[axis] - lag), axis)
            both = both & np.take(soft, range(lag, values.shape[axis]), axis)
            if both.sum() < 500:
                return Noise(0.0, np.zeros(3))
            variance.append(1e-3 + (np.median(np.abs(first - second)[both]) / 0.6745) ** 2)
        c = float(np.interp(variance[1] / variance[0], ratios, steps))
        correlation[axis] = c
        sds.append(np.sqrt(variance[0] / 2 / (1 - c)))
    return Noise(float(min(sds)), correlation)


def fresh_noise(shape: tuple[int, ...], noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """Noise of this SD and correlation, float32 of this shape, HU."""
    fresh = rng.standard_normal(shape, np.float32)
    for axis, c in enumerate(noise.correlation):
        if c > 0.02:
            fresh = ndimage.gaussian_filter1d(fresh, 0.5 / np.sqrt(-np.log(c)), axis, mode="wrap")
        elif c < -0.02:  # taps a, 1, a: correlation 2 a / (1 + 2 a²)
            a = (1 - np.sqrt(1 - 2 * c * c)) / (2 * c)
            fresh = ndimage.correlate1d(fresh, [a, 1, a], axis, mode="wrap")
    return fresh * np.float32(noise.sd / max(float(fresh.std()), 1e-6))


def warp_ct(
    ct: np.ndarray, source: list[np.ndarray], noise: Noise, fresh: np.ndarray
) -> np.ndarray:
    """The CT at its source places, with the noise it had before.

    Interpolation averages noise away; what is lacking is added.

    Args:
        ct: int16 box `d h w`.
        source: [n] index of the place that each voxel comes from, per axis of the box.
        noise: of this CT.
        fresh: [n] noise like it.

    Returns:
        float32 [n].
    """
    hu = ndimage.map_coordinates(ct.astype(np.float32), source, order=3, mode="nearest")
    return hu + fresh * np.sqrt(np.clip(1 - _kept_variance(source, noise), 0, 1))


def seen_bone(bone: np.ndarray, spacing: np.ndarray, halo: float) -> np.ndarray:
    """How much of a bone a voxel shows, 0..1: 1 up to a halo (mm) beyond its label."""
    return ramp(ndimage.distance_transform_edt(~bone, sampling=spacing), halo + 1, halo)


def disc_hu(ct: np.ndarray, free: np.ndarray, local: Local, body: BodyMap) -> float:
    """HU of the disc above a body, within what discs have: `DISC_HU`.

    The median of what is close above the endplate, where the noise and the endplates of thin discs
    leave no better estimate.

    Args:
        ct: int16 box `d h w`.
        free: bool, voxels of the box that belong to no vertebra.
        local: coordinates of its voxels in the frame of the body.
        body: before the fracture.
    """
    up, front, right = local
    core = np.square(front * 3 / body.depth) + np.square(right * 3 / body.width) < 1
    top = float(np.median(body.top[body.outline]))
    values = ct[free & core & (up > top) & (up < top + _DISC_MM)]
    return float(np.clip(np.median(values), *DISC_HU)) if values.size else float(np.mean(DISC_HU))


def _kept_variance(source: list[np.ndarray], noise: Noise) -> np.ndarray:
    """[n] fraction of the noise's variance that cubic interpolation leaves at these places.

    Along an axis it is w' C w for the weights w of the fraction of a voxel and the correlation C.
    """
    kept = np.ones(source[0].shape, np.float32)
    middle = _TAPS // 2
    fractions = np.linspace(0, 1, 33)
    lags = np.abs(np.subtract.outer(np.arange(_TAPS), np.arange(_TAPS)))
    weights = np.stack([
        ndimage.map_coordinates(unit, [middle + fractions], order=3, mode="nearest")
        for unit in np.eye(_TAPS)
    ])  # fmt: skip
    for places, c in zip(source, noise.correlation):
        covariance = np.sign(c) ** lags * np.abs(c) ** np.square(lags)
        left = np.einsum("if,ij,jf->f", weights, covariance, weights)
        kept *= np.interp(places - np.floor(places), fractions, left).astype(np.float32)
    return np.minimum(kept, 1)


def paint_sheet(
    hu: np.ndarray, sheet: Sheet, local: Local, collapse: Collapse, bone: np.ndarray, width: float
) -> np.ndarray:
    """Paints the sign of a sheet into the CT in place.

    Args:
        hu: float32 box `d h w`.
        sheet: the sheet; its depth counts from the endplate after the collapse.
        local: coordinates of the voxels in the frame of the body.
        collapse: for the endplates.
        bone: bool, voxels of the fractured vertebra.
        width: of a voxel along the axis, mm.

    Returns:
        bool: the voxels of the sheet, as thick as the sheet or, where voxels are thicker, one.
    """
    up, front, right = local
    body = collapse.body
    index = [(front - body.front[0]) / STEP_MM, (right - body.right[0]) / STEP_MM]
    plate = collapse.top if sheet.side > 0 else collapse.bottom
    plate = ndimage.map_coordinates(plate.astype(np.float32), index, order=1, mode="nearest")
    cover = sheet.cover(up, front, right, plate, width)
    # Bone ends at its own surface, not at that of the voxels.
    within = ndimage.gaussian_filter(bone.astype(np.float32), 0.4)
    within = np.clip(2 * within - 0.4, 0, 1) * (front > -body.depth / 2)
    strength = sheet.strength(front, right)
    if sheet.gap:  # the level falls, the noise stays
        level = ndimage.gaussian_filter(hu, 1.5)
        hu += cover * within * np.minimum(strength - level, 0)
    else:
        hu += cover * within * strength
    thick = 0.5 * min(1.0, sheet.thickness / width)
    return (cover >= thick) & bone & (front > -body.depth / 2)
