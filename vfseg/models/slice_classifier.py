"""The baseline of an earlier study: is there a fracture anywhere in this slice?"""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models.resnet import RESNET18_FEATURES, ResNet18


class SliceClassifier(nn.Module):
    """ResNet18, global average pooling, one logit a slice, spread over the slice.

    It stands in for the `Generator` with windows of one slice; the slice probabilities of three
    planes, averaged voxel by voxel, are its answer in 3D. There is no prior as in the decoder of
    the generator: training draws a fixed share of windows with a fracture, so that about half of
    the slices have one, and an untrained network answers near 1/2.

    Attributes:
        features: channels of the network at strides 2, 4, 8, 16, 32; pretrained weights need the
            default.
        window: slices of a window, always 1.
        norm: "group" to train from scratch, "folded" to start from pretrained weights, whose tree
            (`vfseg.models.pretrained.load_trunk`) goes under `trunk`.
        dtype: compute dtype; parameters and logits are float32.
    """

    judges_slices: ClassVar[bool] = True
    """Its target is one truth a slice: any fracture there."""

    features: Sequence[int] = RESNET18_FEATURES
    window: int = 1
    norm: str = "group"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, run: jax.Array, dilation: int = 1, *, recurrent: bool = False) -> jax.Array:
        """Maps runs of slices `b r h w c` to logits `b r h w`, float32, one value a slice.

        Args:
            run: slices of any size, each channel an HU window scaled to -1..1.
            dilation: of no effect, a window of one slice has no neighbours; taken as the
                generator takes it.
            recurrent: likewise.

        Raises:
            ValueError: the window has more than one slice.
        """
        if self.window != 1:
            raise ValueError(f"the slice classifier sees one slice, not a window of {self.window}")
        b, r, h, w, c = run.shape
        trunk = ResNet18(self.features, self.norm, self.dtype, name="trunk")
        coarsest = trunk(run.reshape(b * r, h, w, c))[-1]
        pooled = coarsest.astype(jnp.float32).mean(axis=(1, 2))  # n f
        logits = nn.Dense(1, dtype=jnp.float32, name="head")(pooled)
        return jnp.broadcast_to(logits.reshape(b, r, 1, 1), (b, r, h, w))
