"""The scanner: kernel, noise, padding, slice thickness, and how the volume is stored."""

from dataclasses import dataclass

import numpy as np

from vfseg.synthesis.phantom.motion import Motion, smear
from vfseg.synthesis.settings import PhantomSettings

_FINEST_MM = 1.3  # thicker voxels are drawn in layers of at most this and averaged
_AXIS_OF = {"S": (0, 1), "I": (0, -1), "A": (1, 1), "P": (1, -1), "R": (2, 1), "L": (2, -1)}


@dataclass(frozen=True, eq=False)
class Scanner:
    """How one case is acquired and stored.

    Attributes:
        voxel_spacing: [3] mm along d, h, w.
        layers: sublayers drawn and averaged per voxel and axis (slice thickness).
        blur: SD of the point spread in mm.
        sharpness: edge enhancement of the kernel, 0 (soft) to about 0.8 (sharp).
        noise_sd: HU, after the kernel.
        padding: value outside the reconstructed circle, or None where the field of view is full.
        orientation: code of the stored axes, such as LPS.
        rotation: [3, 3], stored axes to world.
        offset: [3] world mm.
        motion: of the patient during the scan, or None.
    """

    voxel_spacing: np.ndarray
    layers: np.ndarray
    blur: float
    sharpness: float
    noise_sd: float
    padding: int | None
    orientation: str
    rotation: np.ndarray
    offset: np.ndarray
    motion: Motion | None = None


def draw_scanner(rng: np.random.Generator, settings: PhantomSettings) -> Scanner:
    """Draws the acquisition of a case."""
    places = rng.uniform(size=3)
    spans = settings.voxel_spacing
    spacing = np.array(
        [low + places[spans.index((low, high))] * (high - low) for low, high in spans]
    )
    axis = rng.standard_normal(3)
    angle = np.radians(rng.uniform(-1, 1) * settings.oblique_degrees)
    return Scanner(
        voxel_spacing=spacing,
        layers=layers_of(spacing),
        blur=float(rng.uniform(0.4, 0.75)),
        sharpness=float(rng.uniform(0, 0.6)),
        noise_sd=float(rng.uniform(*settings.noise_sd)),
        padding=int(rng.choice((-1024, -2000))) if rng.random() < 0.15 else None,
        orientation=str(rng.choice(settings.orientations)),
        rotation=rotation_about(axis / np.linalg.norm(axis), angle),
        offset=rng.uniform(-200, 200, 3).round(2),
    )


def layers_of(spacing: np.ndarray) -> np.ndarray:
    """Sublayers in which voxels of this spacing (mm) are drawn along each axis."""
    return np.ceil(spacing / _FINEST_MM).astype(int)


def acquire(rng: np.random.Generator, hu: np.ndarray, scanner: Scanner) -> np.ndarray:
    """The CT of drawn HU: float32 in (may be overwritten), int16 out."""
    hu = _average_layers(hu, scanner.layers)
    spacing = scanner.voxel_spacing
    if scanner.motion is not None:
        hu = smear(hu, scanner.motion, spacing)
    kernel = [_kernel(scanner.blur, scanner.sharpness if axis else 0, spacing[axis])
              for axis in range(3)]  # fmt: skip
    for axis in range(3):
        hu = filter_axis(hu, kernel[axis], axis)
    if scanner.noise_sd:
        noise = rng.standard_normal(hu.shape, np.float32)
        # The in-plane grain follows the kernel; neighbouring slices share a little of it.
        streaky = 0.5 * rng.random() ** 2
        grain = [np.array([0.9, 0.18]), kernel[1], _smeared(kernel[2], streaky, spacing[2])]
        gain = 1.0
        for axis, taps in enumerate(grain):
            noise = filter_axis(noise, taps, axis)
            gain *= taps[0] ** 2 + 2 * np.sum(taps[1:] ** 2)
        noise *= np.float32(scanner.noise_sd / np.sqrt(gain))
        hu += noise
    if scanner.padding is not None:
        centre = (np.array(hu.shape[1:]) - 1) / 2
        h = (np.arange(hu.shape[1])[:, None] - centre[0]) * spacing[1]
        w = (np.arange(hu.shape[2])[None, :] - centre[1]) * spacing[2]
        radius = 1.08 * max(centre * spacing[1:])
        hu[:, np.hypot(h, w) > radius] = scanner.padding
    return np.rint(np.clip(hu, -2048, 3071)).astype(np.int16)


def average_labels(labels: np.ndarray, layers: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Labels of voxels from labels of their layers: set where at least a share is labelled."""
    if (layers == 1).all():
        return labels
    blocks = _blocks(labels, layers)
    filled = (blocks > 0).mean((1, 3, 5)) >= share
    return np.where(filled, blocks.max((1, 3, 5)), 0).astype(labels.dtype)


def stored_affine(
    scanner: Scanner, shape: tuple[int, int, int]
) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine (index -> RAS+ mm) of the file for a canonical `d h w` shape."""
    affine = np.eye(4)
    stored_shape = []
    corner = np.zeros(3)  # canonical mm (superior, anterior, right) of stored voxel (0, 0, 0)
    columns = np.zeros((3, 3))
    for stored, code in enumerate(scanner.orientation):
        axis, sign = _AXIS_OF[code]
        stored_shape.append(shape[axis])
        columns[axis, stored] = sign * scanner.voxel_spacing[axis]
        if sign < 0:
            corner[axis] = (shape[axis] - 1) * scanner.voxel_spacing[axis]
    affine[:3, :3] = scanner.rotation @ columns[::-1]
    affine[:3, 3] = scanner.rotation @ corner[::-1] + scanner.offset
    return tuple(stored_shape), affine


def filter_axis(array: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    """Convolves one axis with symmetric taps (centre first); the edge repeats.

    Slices and in-place sums: several times faster than a generic filter for few taps.
    """
    array = np.moveaxis(array, axis, 0)
    out = array * np.float32(taps[0])
    size = len(array)
    for shift, tap in enumerate(taps[1:], 1):
        tap = np.float32(tap)
        side = array * tap
        out[shift:] += side[: size - shift]
        out[: size - shift] += side[shift:]
        out[:shift] += side[0]
        out[size - shift :] += side[-1]
    return np.moveaxis(out, 0, axis)


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Matrix [3, 3] that turns by an angle in radians about a unit vector (Rodrigues).

    SciPy's `Rotation` goes through a quaternion, which gives other last bits; cohorts are compared
    by hash.
    """
    cross = np.cross(np.eye(3), axis)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _kernel(blur: float, sharpness: float, spacing: float) -> np.ndarray:
    """Taps (centre first) of a Gaussian sharpened by a wider one, summing to one."""
    reach = np.arange(max(2, int(np.ceil(2.2 / spacing)) + 1)) * spacing
    both = []
    for sd in (blur, 1.0):
        taps = np.exp(-0.5 * np.square(reach / sd))
        both.append(taps / (taps[0] + 2 * taps[1:].sum()))
    return (1 + sharpness) * both[0] - sharpness * both[1]


def _smeared(taps: np.ndarray, fraction: float, spacing: float) -> np.ndarray:
    """Taps of noise a fraction of which runs from side to side, as where photons are few."""
    wide = np.exp(-0.5 * np.square(np.arange(1 + int(7 / spacing)) * spacing / 3))
    wide *= fraction / (wide[0] + 2 * wide[1:].sum())
    wide = np.pad(wide, (0, max(0, len(taps) - len(wide))))
    wide[: len(taps)] += (1 - fraction) * taps
    return wide


def _average_layers(hu: np.ndarray, layers: np.ndarray) -> np.ndarray:
    if (layers == 1).all():
        return hu
    return _blocks(hu, layers).mean((1, 3, 5), dtype=np.float32)


def _blocks(array: np.ndarray, layers: np.ndarray) -> np.ndarray:
    d, h, w = (size // n for size, n in zip(array.shape, layers))
    return array.reshape(d, layers[0], h, layers[1], w, layers[2])
