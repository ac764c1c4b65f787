"""Attention U-Net: encoder of single slices, attention gate, decoder with gated skips.

References:
    Ronneberger, Fischer, Brox, 2015, MICCAI: U-Net.
    Oktay et al., 2018, MIDL: Attention U-Net, learning where to look for the pancreas.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models.layers import DoubleConv, max_pool2, upsample2


class Encoder(nn.Module):
    """Features of single slices at every scale; scale `s` has 1/2**s of the height and width.

    Nothing here looks across slices, so a run of slices is encoded once however many windows
    share it.

    Attributes:
        features: channels of each scale, finest first; the last is the bottleneck.
        dtype: compute dtype.
    """

    features: Sequence[int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Maps slices `n h w c` to one `n h/2**s w/2**s f_s` per scale.

        Raises:
            ValueError: height or width is not a multiple of 2**(scales - 1).
        """
        factor = 2 ** (len(self.features) - 1)
        if x.shape[1] % factor or x.shape[2] % factor:
            raise ValueError(
                f"slices of {x.shape[1:3]} do not halve {len(self.features) - 1} times"
            )
        scales = []
        for scale, features in enumerate(self.features):
            if scale:
                x = max_pool2(x)
            x = DoubleConv(features, self.dtype, name=f"scale{scale}")(x)
            scales.append(x)
        return tuple(scales)


class AttentionGate(nn.Module):
    """Additive attention on a skip connection.

    ``alpha = sigmoid(psi . relu(W_x x + W_g up(g) + b) + b_psi)``, the result is ``alpha * x``:
    the coarser decoder features `g` decide where the skip features `x` may pass. `W_g` is applied
    before the upsampling, which is the same and a quarter of the work.

    Attributes:
        features: channels of the inner sum.
        dtype: compute dtype; the sigmoid is taken in float32.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, g: jax.Array) -> jax.Array:
        """Gates the skip.

        Args:
            x: skip features `n 2h 2w c`.
            g: gating features of the next coarser scale `n h w c'`.

        Returns:
            `alpha * x`, same shape and dtype as `x`; alpha lies in 0..1.
        """
        from_skip = nn.Dense(self.features, use_bias=False, dtype=self.dtype, name="skip")(x)
        from_gate = nn.Dense(self.features, dtype=self.dtype, name="gate")(g)
        joint = nn.relu(from_skip + upsample2(from_gate))
        alpha = nn.sigmoid(nn.Dense(1, dtype=self.dtype, name="psi")(joint).astype(jnp.float32))
        return x * alpha.astype(x.dtype)


class Decoder(nn.Module):
    """From the features of the target slices, and of their neighbourhoods, to fracture logits.

    At each scale: upsample, gate the skip connection, join both with the recurrent features of
    the *same* scale where there are any, convolve twice.

    Attributes:
        features: channels of each scale, finest first.
        recurrent_scales: scales that may get recurrent features.
        attention: whether the skips pass a gate; without, this is a plain U-Net.
        prior: fracture probability that the untrained network answers everywhere; a start far from
            1/2 keeps the rare class from being drowned in the first steps (Lin et al., 2017, ICCV).
        dtype: compute dtype; the logits are float32.
    """

    features: Sequence[int]
    recurrent_scales: Sequence[int] = ()
    _: dataclasses.KW_ONLY
    attention: bool = True
    prior: float = 0.01
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, skips: Sequence[jax.Array], recurrent: Mapping[int, jax.Array]) -> jax.Array:
        """Maps skips `n h/2**s w/2**s f_s` (finest first) to logits `n h w`, float32.

        Args:
            skips: encoder features of the target slices, one array a scale.
            recurrent: ConvLSTM features by scale, of the same height and width as that skip; empty
                while the network is trained without recurrence.
        """
        coarsest = len(self.features) - 1
        x = skips[coarsest]
        if coarsest in self.recurrent_scales:
            conv = DoubleConv(self.features[coarsest], self.dtype, name=f"scale{coarsest}")
            x = conv(x, recurrent.get(coarsest))
        for scale in reversed(range(coarsest)):
            features, skip = self.features[scale], skips[scale]
            if self.attention:
                gate = AttentionGate(max(features // 2, 1), self.dtype, name=f"gate{scale}")
                skip = gate(skip, x)
            x = jnp.concatenate([upsample2(x), skip], axis=-1)
            x = DoubleConv(features, self.dtype, name=f"scale{scale}")(x, recurrent.get(scale))
        logits = nn.Dense(1, dtype=jnp.float32, name="head")(x)[..., 0]
        return logits + math.log(self.prior / (1 - self.prior))
