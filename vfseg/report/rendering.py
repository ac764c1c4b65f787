"""The spine in 3D, fractures shining red through the bone: ray casting on the CPU.

Rays are parallel and level, so a picture is the volume turned about the body axis, and everything
that a ray can meet is one gather. A surface is where a field first passes its level along the
ray, placed between two samples by linear interpolation; its normal is the gradient of the field
there; creases are darkened by comparing depth with its blurred self.

References:
    Levoy (1988), "Display of surfaces from volume data", IEEE CG&A.
    Luft, Colditz and Deussen (2006), "Image enhancement by unsharp masking the depth buffer".
"""

from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from scipy import ndimage

from vfseg.drawing.figures import BACKGROUND

PIXEL_MM = 0.45
_SLAB_ROWS = 48
BONE_COLOUR = (0.93, 0.87, 0.76)
_BONE = np.array(BONE_COLOUR, np.float32)
_FRACTURE = np.array([1.0, 0.13, 0.10], np.float32)
_BACKGROUND = np.array(to_rgb(BACKGROUND), np.float32)
_LIGHT = np.array([-0.45, 0.55, 0.70]) / np.linalg.norm([-0.45, 0.55, 0.70])  # right, up, near


class Viewpoint(NamedTuple):
    """Where the eye is.

    Attributes:
        title: in words.
        degrees: 0 = in front of the patient, 90 = at the patient's left side.
    """

    title: str
    degrees: float


VIEWPOINTS = (
    Viewpoint("from the front, 30° to the patient's left", 30.0),
    Viewpoint("from the patient's left side", 90.0),
)


class Surface(NamedTuple):
    """First surface along each ray.

    Attributes:
        depth: "y x", mm from the eye's plane, infinite where the ray meets nothing.
        normal: "y x 3", pointing at the viewer's side, along (right, up, near); 0 where nothing.
    """

    depth: np.ndarray
    normal: np.ndarray


def axes_of(viewpoint: Viewpoint) -> tuple[np.ndarray, np.ndarray]:
    """Directions of a picture in the canonical axes (d, h, w) = (superior, anterior, right).

    Returns:
        Unit vectors: to the right in the picture, and away from the eye.

    >>> right, away = axes_of(Viewpoint("from the front", 0.0))
    >>> right.tolist(), away.tolist()  # to the patient's left; backwards
    ([0.0, -0.0, -1.0], [0.0, -1.0, 0.0])
    """
    sine, cosine = np.sin(np.deg2rad(viewpoint.degrees)), np.cos(np.deg2rad(viewpoint.degrees))
    return np.array([0.0, -sine, -cosine]), np.array([0.0, -cosine, sine])


def cast(field: np.ndarray, level: float, spacing: float, viewpoint: Viewpoint, shape) -> Surface:
    """Finds where each ray first meets `field >= level`.

    Args:
        field: float32 `d h w` on an isotropic grid.
        level: of the surface.
        spacing: of the grid, mm.
        viewpoint: where the eye is.
        shape: "y x" of the picture, pixels of 0.45 mm, centred on the grid.

    Returns:
        Depth and normals, the top row superior.
    """
    rows, columns = shape
    right, away = axes_of(viewpoint)
    centre = (np.array(field.shape) - 1) / 2
    reach = int(np.ceil(np.hypot(*field.shape[1:]) / 2)) + 1
    across = (np.arange(columns) - (columns - 1) / 2) * PIXEL_MM / spacing
    along = np.arange(-reach, reach + 1, dtype=np.float64)
    # Every sample of a row of pixels lies in one axial plane, at the same (h, w) for all rows.
    h = centre[1] + across[:, None] * right[1] + along * away[1]
    w = centre[2] + across[:, None] * right[2] + along * away[2]
    d = centre[0] + ((rows - 1) / 2 - np.arange(rows)) * PIXEL_MM / spacing

    depth = np.full(shape, np.inf, np.float32)
    corners = _bilinear(h, w, field.shape)
    for start in range(0, rows, _SLAB_ROWS):
        part = slice(start, start + _SLAB_ROWS)
        planes = _rows(field, d[part])
        # Most samples are in columns that hold nothing at or near the level: they stay 0.
        near = ndimage.maximum_filter(planes.max(axis=0) >= level, size=5)[corners[0][:2]]
        samples = np.zeros((len(planes), *h.shape), np.float32)
        samples[:, near] = sum(
            weight[near] * planes[:, i[near], j[near]] for i, j, weight in corners
        )
        depth[part] = _first_crossing(samples, level)
    hit = np.isfinite(depth)
    y, x = np.nonzero(hit)
    travelled = depth[hit] - reach
    points = np.stack(
        [
            d[y],
            centre[1] + across[x] * right[1] + travelled * away[1],
            centre[2] + across[x] * right[2] + travelled * away[2],
        ]
    )
    inward = np.stack(
        [
            ndimage.map_coordinates(field, points + step, order=1)
            - ndimage.map_coordinates(field, points - step, order=1)
            for step in np.eye(3)[:, :, None]
        ]
    )
    inward /= np.maximum(np.linalg.norm(inward, axis=0), 1e-9)
    normal = np.zeros((*shape, 3), np.float32)
    normal[hit] = -np.stack([right @ inward, inward[0], -(away @ inward)], axis=-1)
    return Surface(depth * np.float32(spacing), normal)


def shade(bone: Surface, fracture: Surface) -> np.ndarray:
    """Lights both surfaces and lets the fracture shine through the bone.

    Args:
        bone: first surface of the bone.
        fracture: first surface of the fracture.

    Returns:
        float32 "y x 3" in [0, 1].
    """
    background = np.broadcast_to(_BACKGROUND, bone.normal.shape)
    solid = np.isfinite(bone.depth)
    lit = _lit(bone, _BONE) * _creases(bone.depth)[..., None]
    picture = np.where(solid[..., None], lit, background)
    found = np.isfinite(fracture.depth)
    glow = ndimage.gaussian_filter(found.astype(np.float32), 3.0 / PIXEL_MM)[..., None]
    picture = picture + 0.45 * glow * (_FRACTURE - picture)
    hidden = fracture.depth > bone.depth + 0.5
    strength = np.where(found, np.where(hidden, 0.78, 1.0), 0.0)
    strength = ndimage.gaussian_filter(strength, 0.6)[..., None]  # soft edges
    red = np.where(found[..., None], _lit(fracture, _FRACTURE), _FRACTURE)
    return np.clip(picture + strength * (red - picture), 0.0, 1.0).astype(np.float32)


def _lit(surface: Surface, colour: np.ndarray) -> np.ndarray:
    """Ambient, wrapped diffuse and a little highlight, one lamp at the upper left."""
    toward = surface.normal @ _LIGHT.astype(np.float32)
    facing = np.clip(surface.normal[..., 2], 0.0, 1.0)
    diffuse = np.clip(0.25 + 0.75 * toward, 0.0, 1.0)
    highlight = 0.18 * np.clip(toward, 0.0, 1.0) ** 24
    light = 0.22 + 0.62 * diffuse + 0.22 * facing
    return light[..., None] * colour + highlight[..., None]


def _creases(depth: np.ndarray) -> np.ndarray:
    """Factor in (0, 1]: dark where the surface lies behind its surroundings."""
    solid = np.isfinite(depth)
    known = np.where(solid, depth, 0.0).astype(np.float32)
    dark = np.zeros_like(known)
    for radius_mm, weight in ((2.0, 0.35), (8.0, 0.45)):
        sigma = radius_mm / PIXEL_MM
        weights = ndimage.gaussian_filter(solid.astype(np.float32), sigma)
        around = ndimage.gaussian_filter(known, sigma) / np.maximum(weights, 1e-6)
        dark += weight * np.clip((known - around) / (1.5 * radius_mm), 0.0, 1.0)
    return np.where(solid, 1.0 - dark, 1.0)


def _bilinear(h: np.ndarray, w: np.ndarray, shape) -> list[tuple]:
    """Indices and weights of the four neighbours; weight 0 outside the grid."""
    low_h, low_w = np.floor(h).astype(int), np.floor(w).astype(int)
    corners = []
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        a, b = low_h + i, low_w + j
        weight = (1 - np.abs(h - a)) * (1 - np.abs(w - b))
        inside = (a >= 0) & (a < shape[1]) & (b >= 0) & (b < shape[2])
        a, b = np.clip(a, 0, shape[1] - 1), np.clip(b, 0, shape[2] - 1)
        corners.append((a, b, np.where(inside, weight, 0.0).astype(np.float32)))
    return corners


def _rows(field: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Axial planes at fractional d, 0 outside the grid."""
    low = np.floor(d).astype(int)
    part = (d - low).astype(np.float32)[:, None, None]
    last = len(field) - 1
    planes = field[np.clip(low, 0, last)] * (1 - part)
    planes += field[np.clip(low + 1, 0, last)] * part
    planes[(d < 0) | (d > last)] = 0.0
    return planes


def _first_crossing(samples: np.ndarray, level: float) -> np.ndarray:
    """Fractional index of the first sample at or above the level, along the last axis."""
    above = samples >= level
    first = np.argmax(above, axis=-1)
    after = np.take_along_axis(samples, first[..., None], -1)[..., 0]
    before = np.take_along_axis(samples, np.maximum(first - 1, 0)[..., None], -1)[..., 0]
    back = np.clip((after - level) / np.maximum(after - before, 1e-6), 0.0, 1.0)
    return np.where(above.any(axis=-1), first - back, np.inf).astype(np.float32)
