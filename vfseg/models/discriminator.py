"""PatchGAN: is this fracture map, given this CT slice, drawn or predicted?

Reference:
    Isola et al., 2017, CVPR: Image-to-image translation with conditional adversarial networks.
"""

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models.layers import GroupNorm


class Discriminator(nn.Module):
    """One logit for each overlapping patch of (CT slice, fracture map).

    4x4 convolutions with LeakyReLU(0.2): stride 2 for all but the last listed features, then
    stride 1, then one logit. GroupNorm after all but the first, in place of pix2pix's
    BatchNorm, so that training and inference agree at every batch size; or every kernel is
    divided by its largest singular value (Miyato et al., 2018, ICLR: Spectral normalization),
    found by one step of power iteration an update, whose vectors are the collection `batch_stats`.

    Attributes:
        features: channels of the convolutions.
        spectral_norm: spectral normalisation in place of GroupNorm.
        dtype: compute dtype; the logits are float32.
    """

    features: Sequence[int]
    _: dataclasses.KW_ONLY
    spectral_norm: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, ct: jax.Array, fracture: jax.Array, *, update_stats: bool = False
    ) -> jax.Array:
        """Maps CT slices `n h w c` (-1..1) and fracture maps `n h w` (0..1) to logits `n h' w'`.

        A logit above 0 says: drawn by a reader. `update_stats` takes one step of power iteration
        and needs the collection `batch_stats` to be mutable.
        """

        def convolve(x, features, strides=(1, 1), **settings):
            conv = nn.Conv(features, (4, 4), strides, dtype=self.dtype, **settings)
            if not self.spectral_norm:
                return conv(x)
            return nn.SpectralNorm(conv)(x, update_stats=update_stats)

        fracture = (2 * fracture - 1)[..., None]
        x = jnp.concatenate([ct.astype(self.dtype), fracture.astype(self.dtype)], axis=-1)
        for index, features in enumerate(self.features):
            first, last = index == 0, index == len(self.features) - 1
            strides = (1, 1) if last else (2, 2)
            grouped = not (first or self.spectral_norm)
            x = convolve(x, features, strides, use_bias=not grouped)
            if grouped:
                x = GroupNorm(self.dtype)(x)
            x = nn.leaky_relu(x, 0.2)
        return convolve(x, 1, name="head")[..., 0].astype(jnp.float32)
