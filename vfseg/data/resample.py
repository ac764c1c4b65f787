"""Resampling along the axes of a grid, touching only the part of the source that is needed.

Output index i of an axis looks at source coordinate `origin + step * i` (voxels of the source).
The weights are separable, so each axis is a banded matrix, applied by blocks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_BLOCK = 64
_SNAP = 1e-4  # voxels: coordinates this close to whole steps are whole steps


def resampled_affine(affine: np.ndarray, origin, step) -> np.ndarray:
    """Affine of a grid whose index i lies at `origin + step * i` of the grid of `affine`.

    Args:
        affine: [4, 4], source index -> mm.
        origin: [3], source voxels.
        step: [3], source voxels.

    >>> resampled_affine(np.diag([2.0, 2, 2, 1]), (1, 0, 0), (0.5, 1, 1))[0].tolist()
    [1.0, 0.0, 0.0, 2.0]
    """
    inner = np.eye(4)
    inner[:3, :3] = np.diag(np.broadcast_to(np.asarray(step, np.float64), 3))
    inner[:3, 3] = origin
    return np.asarray(affine, np.float64) @ inner


def sample_linear(array: Any, origin, step, shape, *, fill: float) -> np.ndarray:
    """Linear interpolation, antialiased where the step is above one voxel.

    An axis with step s <= 1 uses the hat of linear interpolation. With s > 1 the interpolated
    signal is averaged with a triangle of half-width sqrt(s^2 - 1): together a kernel as wide
    (in variance) as the triangle of half-width s. Weights are non-negative, sum to 1 and keep the
    first moment, so constants and linear ramps come out exactly, at any step. Outside the source
    the signal is `fill`. A whole-voxel shift (step 1, integer origin, to 1e-4 voxel) is a copy.

    Args:
        array: `d h w`, anything with a shape that can be sliced.
        origin: [3], source coordinate of output index 0, voxels; may lie outside.
        step: [3], source voxels per output voxel, > 0.
        shape: [3], output.
        fill: value outside the source.

    Returns:
        float32 `d h w` of `shape`.
    """
    axes = [
        _linear_taps(float(o), float(s), int(n), size)
        for o, s, n, size in zip(origin, step, shape, array.shape, strict=True)
    ]
    out = np.full(tuple(int(n) for n in shape), fill, np.float32)
    if any(first >= last for first, last, _ in axes):
        return out
    region = np.asarray(array[tuple(slice(first, last) for first, last, _ in axes)])
    copies = [plan for *_, plan in axes if isinstance(plan, int)]
    if len(copies) == 3:
        out[tuple(slice(at, at + size) for at, size in zip(copies, region.shape))] = region
        return out
    values = region.astype(np.float32)
    values -= np.float32(fill)
    # Axes that shrink the array most come first.
    for axis in sorted(range(3), key=lambda a: out.shape[a] / values.shape[a]):
        values = _apply(values, axis, axes[axis][2], out.shape[axis])
    values += np.float32(fill)
    return values


def sample_nearest(array: Any, origin, step, shape, *, fill: int = 0) -> np.ndarray:
    """Nearest neighbour (halves go up), for label maps; `fill` outside.

    Arguments as in `sample_linear`. Returns the dtype of the source.
    """
    keep, source, region = [], [], []
    for o, s, n, size in zip(origin, step, shape, array.shape, strict=True):
        index = nearest_index(o, s, n)
        inside = np.flatnonzero((index >= 0) & (index < size))
        keep.append(inside)
        index = index[inside]
        low, high = (int(index.min()), int(index.max()) + 1) if index.size else (0, 0)
        source.append(index - low)
        region.append(slice(low, high))
    out = np.full(tuple(int(n) for n in shape), fill, array.dtype)
    if all(inside.size for inside in keep):
        out[np.ix_(*keep)] = np.asarray(array[tuple(region)])[np.ix_(*source)]
    return out


def nearest_index(origin: float, step: float, count: int) -> np.ndarray:
    """Index of the nearest source voxel (halves go up) of each output voxel of an axis, int64."""
    return np.floor(float(origin) + float(step) * np.arange(int(count)) + 0.5 + _SNAP).astype(int)


class Bands(NamedTuple):
    """The weights of `sample_linear` along one axis, in blocks of one shape.

    Attributes:
        first: int32 [blocks], the source voxel at which the window of a block begins.
        weights: float32 [blocks, outputs of a block, voxels of a window].
    """

    first: np.ndarray
    weights: np.ndarray


def linear_bands(origin: float, step: float, count: int, size: int, block: int = _BLOCK) -> Bands:
    """The bands of an axis, for what needs fixed shapes: these depend on the step alone.

    Args:
        origin: source coordinate of output index 0, voxels.
        step: source voxels per output voxel, > 0.
        count: outputs; the last block is filled up with outputs that are 0.
        size: source voxels, at least one.
        block: outputs of a block.
    """
    whole = round(origin)
    if abs(origin - whole) + abs(step - 1) * count < _SNAP:  # a copy, as in `sample_linear`
        origin, step = float(whole), 1.0
    width = _width(step)
    x = origin + step * np.arange(-(-count // block) * block).reshape(-1, block)
    window = int(np.ceil(step * (block - 1) + 2 * (1 + width))) + 2
    window = min(-(-window // 8) * 8, size)
    first = np.clip(np.floor(x[:, 0] - 1 - width), 0, size - window).astype(np.int32)
    source = first[:, None] + np.arange(window)
    weights = _kernel(source[:, None] - x[:, :, None], width).astype(np.float32)
    weights.reshape(-1, window)[count:] = 0
    return Bands(first, weights)


def _width(step: float) -> float:
    """Half-width of the triangle with which the interpolated signal is averaged."""
    width = float(np.sqrt(max(step * step - 1, 0.0)))
    return width if width > 1e-3 else 0.0


_Blocks = list[tuple[slice, slice, np.ndarray]]


def _linear_taps(
    origin: float, step: float, count: int, size: int
) -> tuple[int, int, int | _Blocks]:
    """Needed source range [first, last) of one axis, and how to apply it.

    The plan is an int where the axis is copied (output index of the first source voxel), else
    blocks (output slice, slice of the source range, weights [out, source]).
    """
    if step <= 0 or count < 1:
        raise ValueError(f"step {step} and count {count} must be positive")
    whole = round(origin)
    if abs(origin - whole) + abs(step - 1) * count < _SNAP:
        first, last = max(whole, 0), min(whole + count, size)
        return first, last, first - whole
    width = _width(step)
    reach = 1 + width
    x = origin + step * np.arange(count)
    first = max(int(np.ceil(x[0] - reach)), 0)
    last = min(int(np.floor(x[-1] + reach)) + 1, size)
    blocks: _Blocks = []
    for start in range(0, count, _BLOCK):
        part = x[start : start + _BLOCK]
        low = max(int(np.ceil(part[0] - reach)), first)
        high = min(int(np.floor(part[-1] + reach)) + 1, last)
        if low < high:
            weights = _kernel(np.arange(low, high) - part[:, None], width).astype(np.float32)
            source = slice(low - first, high - first)
            blocks.append((slice(start, start + len(part)), source, weights))
    return first, last, blocks


def _kernel(u: np.ndarray, width: float) -> np.ndarray:
    """Hat of half-width 1, averaged with a triangle of half-width `width`, at offsets `u`."""
    if not width:
        return np.maximum(1 - np.abs(u), 0)

    def cube(t):
        t = np.maximum(t, 0)
        return t * t * t / 6

    def twice_integrated_hat(t):
        return cube(t + 1) - 2 * cube(t) + cube(t - 1)

    second_difference = (
        twice_integrated_hat(u + width)
        - 2 * twice_integrated_hat(u)
        + twice_integrated_hat(u - width)
    )
    return np.maximum(second_difference, 0) / width**2


def _apply(values: np.ndarray, axis: int, plan: int | _Blocks, count: int) -> np.ndarray:
    """Resamples one axis; output voxels that no source voxel reaches are 0."""
    shape: Sequence[int] = (*values.shape[:axis], count, *values.shape[axis + 1 :])
    out = np.zeros(shape, np.float32)
    before = (slice(None),) * axis
    if isinstance(plan, int):
        out[(*before, slice(plan, plan + values.shape[axis]))] = values
        return out
    for place, source, weights in plan:
        part = values[(*before, source)]
        if axis == 0:
            out[place] = np.tensordot(weights, part, 1)
        elif axis == 1:
            out[:, place] = weights @ part
        else:
            out[:, :, place] = part @ weights.T
    return out
