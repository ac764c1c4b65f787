"""The generator: an Attention U-Net whose decoder also sees a ConvLSTM over the neighbours."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models.attention_unet import Decoder
from vfseg.models.conv_lstm import ConvLSTM
from vfseg.models.encoders import make_encoder


class Generator(nn.Module):
    """Fracture logits of the middle slices of all windows of a run.

    A run of r slices holds k = r - (T - 1) * dilation windows of T slices. Every slice is encoded
    once; skip connections carry the middle slice, the ConvLSTM what the whole window shows. The
    plain window of the method is the run with r = T and dilation 1, hence k = 1.

    Attributes:
        encoder: name of the encoder, see `make_encoder`.
        features: channels of each scale, finest first; the last is the bottleneck.
        attention: whether the skip connections pass an attention gate.
        window: slices of a window, T, odd; 1 leaves the recurrence out.
        recurrent_scales: scales with a ConvLSTM, 0 the finest; default the bottleneck and the
            scale above it.
        recurrent_features: channels of each ConvLSTM.
        bidirectional: see `ConvLSTM`.
        norm: of the encoder, see `make_encoder`.
        dtype: compute dtype; parameters and logits are float32.
    """

    judges_slices: ClassVar[bool] = False
    """Its target is one truth a pixel."""

    encoder: str
    features: Sequence[int]
    _: dataclasses.KW_ONLY
    attention: bool
    window: int
    recurrent_scales: Sequence[int]
    recurrent_features: int
    bidirectional: bool = False
    norm: str = "group"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, run: jax.Array, dilation: int = 1, *, recurrent: bool = True) -> jax.Array:
        """Maps runs of slices `b r h w c` to logits `b k h w`, float32.

        Args:
            run: slices, each channel an HU window scaled to -1..1.
            dilation: step between the slices of a window, in slices of the run.
            recurrent: False answers from the target slices alone, as if there were no ConvLSTM; an
                untrained ConvLSTM makes no difference.

        Raises:
            ValueError: the run is shorter than one window.
        """
        b, r, h, w, c = run.shape
        k = r - (self.window - 1) * dilation
        if k < 1:
            raise ValueError(f"a run of {r} slices holds no window of {self.window} at {dilation}")
        first = self.window // 2 * dilation
        if not recurrent:
            run, r, first = run[:, first : first + k], k, 0
        encoder = make_encoder(
            self.encoder, self.features, self.dtype, norm=self.norm, name="encoder"
        )
        encoded = encoder(run.reshape(b * r, h, w, c).astype(self.dtype))
        scales = [f.reshape(b, r, *f.shape[1:]) for f in encoded]  # b r h/2**s w/2**s f

        recurrent_scales = self.recurrent_scales if self.window > 1 else ()
        states = {}
        for scale in recurrent_scales if recurrent else ():
            lstm = ConvLSTM(
                self.recurrent_features,
                self.window,
                dilation,
                bidirectional=self.bidirectional,
                dtype=self.dtype,
                name=f"conv_lstm{scale}",
            )
            states[scale] = _merge(lstm(scales[scale]))

        skips = [_merge(f[:, first : first + k]) for f in scales]
        decoder = Decoder(
            self.features,
            recurrent_scales,
            attention=self.attention,
            dtype=self.dtype,
            name="decoder",
        )
        return decoder(skips, states).reshape(b, k, h, w)


def _merge(x: jax.Array) -> jax.Array:
    """`b k ...` -> `(b k) ...`."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
