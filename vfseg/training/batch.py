"""What a step makes of a batch before the networks see it."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from vfseg.crops.augment import augment
from vfseg.crops.intensity import to_channels
from vfseg.crops.settings import AugmentSettings


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """How the slices of a batch become the network's input.

    Attributes:
        hu_windows: `(low, high)` in HU, one a channel.
        augment: strengths of the augmentation.
        voxel_spacing: of the crops, mm.
    """

    hu_windows: tuple[tuple[float, float], ...]
    augment: AugmentSettings
    voxel_spacing: float


def middle(run: jax.Array, k: int) -> jax.Array:
    """The k middle slices, those with targets, of runs `b r ...`."""
    first = (run.shape[1] - k) // 2
    return run[:, first : first + k]


def prepare_batch(
    batch: Mapping[str, jax.Array], key: jax.Array, places: jax.Array, settings: DataSettings
) -> tuple[jax.Array, jax.Array]:
    """Augments on the device and scales HU.

    A sample's random numbers depend on the key and on its place in the whole batch, so one device
    and many draw the same.

    Args:
        batch: `ct` int16 HU `b r h w`; `target` uint8 0/1 `b k h w`, of the middle slices; `plane`
            int32 `b`, numbers as in `PLANE_AXES`.
        key: typed key of the step.
        places: of the samples in the whole batch, `b`.
        settings: static.

    Returns:
        Runs `b r h w c` in -1..1, targets float32 `b k h w`, 0 or 1.
    """
    ct, target = augment(
        jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places),
        batch["ct"].astype(jnp.float32),
        batch["target"].astype(jnp.float32),
        batch["plane"],
        settings.augment,
        voxel_spacing=settings.voxel_spacing,
    )
    return to_channels(ct, settings.hu_windows), target


def whole_slices(target: jax.Array) -> jax.Array:
    """Whether a slice shows any fracture, the same answer in every pixel: `b k h w`, 0 or 1.

    >>> whole_slices(jnp.array([[[[0.0, 1.0]], [[0.0, 0.0]]]]))[0, :, 0].tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    return jnp.broadcast_to(jnp.max(target, axis=(2, 3), keepdims=True), target.shape)
