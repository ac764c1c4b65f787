"""Batches to augment, and the augmentation of them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from vfseg.crops.augment import augment
from vfseg.crops.settings import AugmentSettings
from vfseg.data.settings import PLANE_AXES

SPACING = 1.25
OFF = AugmentSettings()
ALL = AugmentSettings(
    rotation=15,
    scaling=0.15,
    translation=4,
    elastic=2,
    left_right_flip=0.5,
    gamma=0.2,
    contrast=0.2,
    noise=30,
    blur=0.8,
    low_resolution=0.7,
    hu_shift=30,
    thickness=3,
    sharpness=0.8,
)
SPATIAL = ["rotation", "scaling", "translation", "elastic"]


@functools.cache
def compiled(settings, spacing=SPACING):
    """Augmentation of a batch, of sagittal runs unless told."""

    @jax.jit
    def run(key, ct, target, planes=None):
        keys = jax.random.split(key, len(ct))
        planes = jnp.full(len(ct), PLANE_AXES["sagittal"]) if planes is None else planes
        return augment(keys, ct, target, planes, settings, voxel_spacing=spacing)

    return run


def only(**strengths):
    return dataclasses.replace(OFF, **strengths)


def random_batch(seed=0, b=4, r=6, k=2, h=20, w=24):
    rng = np.random.default_rng(seed)
    ct = rng.normal(100, 300, (b, r, h, w)).astype(np.float32)
    target = (rng.random((b, k, h, w)) > 0.8).astype(np.float32)
    return ct, target
