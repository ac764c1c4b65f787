"""Augmentation of one batch of training, beside the same job done slice by slice with SciPy.

`python -m benchmarks.augment [--quick] [--json FILE]`
"""

import functools
from collections.abc import Sequence

import jax
import numpy as np
import scipy.ndimage

from benchmarks import command, timing
from vfseg.crops.augment import augment, source_coordinates
from vfseg.crops.settings import AugmentSettings
from vfseg.data.settings import PLANE_AXES

SPACING = 1.25  # mm
SETTINGS = {
    "off": AugmentSettings(),
    "mild": AugmentSettings(
        rotation=10,
        scaling=0.1,
        translation=3,
        elastic=1.5,
        left_right_flip=0.5,
        gamma=0.1,
        contrast=0.1,
        noise=15,
        blur=0.4,
        low_resolution=0.3,
        hu_shift=20,
    ),
    "strong": AugmentSettings(
        rotation=20,
        scaling=0.2,
        translation=6,
        elastic=4,
        left_right_flip=0.5,
        gamma=0.25,
        contrast=0.2,
        noise=40,
        blur=0.8,
        low_resolution=1,
        hu_shift=40,
    ),
}


def scipy_augment(ct: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> None:
    """Warp, blur, low resolution, gamma, contrast, shift and noise, one call for each slice."""
    for run, masks in zip(ct, target):
        coordinates = np.asarray(source_coordinates(run.shape[1:], 0.1, 1.05, (1.0, 2.0)))
        displacement = rng.normal(size=coordinates.shape)
        coordinates = coordinates + scipy.ndimage.gaussian_filter(displacement, (0, 6, 6))
        for image in run:
            image = scipy.ndimage.map_coordinates(image, coordinates, order=1, mode="nearest")
            image = scipy.ndimage.gaussian_filter(image, 0.5)
            image = scipy.ndimage.zoom(scipy.ndimage.zoom(image, 0.75, order=1), 4 / 3, order=1)
            image = 1800 * (image.clip(0, 1800) / 1800) ** 1.05 * 1.05 + 10
            image += rng.normal(0, 20, image.shape)
        for mask in masks:
            scipy.ndimage.map_coordinates(mask, coordinates, order=1)


def one_batch(b: int, r: int, k: int, size: int, rounds: int) -> timing.Table:
    """Times all settings on random runs of slices `b r size size` in all planes.

    Their masks are `b k size size`.
    """
    rng = np.random.default_rng(0)
    ct = rng.normal(100, 300, (b, r, size, size)).astype(np.float32)
    target = (rng.random((b, k, size, size)) > 0.99).astype(np.float32)
    planes = np.arange(b, dtype=np.int32) % len(PLANE_AXES)
    inputs = jax.random.split(jax.random.key(0), b), *jax.device_put((ct, target, planes))
    competitors = {"SciPy, slice by slice": lambda: scipy_augment(ct, target, rng)}
    for name, settings in SETTINGS.items():
        step = functools.partial(augment, settings=settings, voxel_spacing=SPACING)
        competitors[name] = functools.partial(jax.jit(step), *inputs)
    return timing.race(
        timing.Task(
            f"Augment runs of {r} slices, {k} masks, {size}x{size}, batch {b}", b * r, "slices/s"
        ),
        competitors,
        baseline="SciPy, slice by slice",
        rounds=rounds,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Prints one table for each size."""
    args = command.arguments(__doc__ or "", argv)
    tables = [one_batch(4, 8, 4, 48, rounds=5 if args.quick else 30)]
    if not args.quick:
        tables.append(one_batch(8, 8, 4, 96, rounds=20))
    command.publish(tables, args.json)


if __name__ == "__main__":
    main()
