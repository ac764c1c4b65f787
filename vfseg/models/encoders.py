"""The encoders a config can name: a plain one, and two ImageNet networks."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models.attention_unet import Encoder
from vfseg.models.efficientnet import EfficientNetLite0
from vfseg.models.layers import DoubleConv
from vfseg.models.resnet import RESNET18_FEATURES, ResNet18
from vfseg.models.settings import ENCODERS, TRUNK_SCALES


class TrunkEncoder(nn.Module):
    """Features of single slices from an ImageNet network, at the scales of the plain encoder.

    The first layer of such a network halves the slice already, so scale 0 is a plain `DoubleConv`
    of its own beside it; scale s >= 1 is the network at stride 2**s. The parameters of the network
    lie under `trunk`, in modules named `scale{s}_...`.

    Attributes:
        kind: "resnet18" or "efficientnet_lite0".
        features: one number a scale, finest first, 2 to 6 of them; only the first one is used, the
            network has its own channels.
        norm: "group" from scratch, "folded" for pretrained weights, see `vfseg.models.conv_norm`.
        dtype: compute dtype.
    """

    kind: str
    features: Sequence[int]
    norm: str = "group"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Maps slices `n h w c` (-1..1) to one `n h/2**s w/2**s f_s` per scale.

        Raises:
            ValueError: too few or too many scales; height or width is not a multiple of
                2**(scales - 1).
        """
        halvings = len(self.features) - 1
        if not 1 <= halvings <= TRUNK_SCALES:
            raise ValueError(
                f"{self.kind} has 2 to {TRUNK_SCALES + 1} scales, not {len(self.features)}"
            )
        if x.shape[1] % 2**halvings or x.shape[2] % 2**halvings:
            raise ValueError(f"slices of {x.shape[1:3]} do not halve {halvings} times")
        finest = DoubleConv(self.features[0], self.dtype, name="scale0")(x)
        trunk = make_trunk(self.kind, halvings, self.dtype, norm=self.norm, name="trunk")
        return (finest, *trunk(x))


def make_encoder(
    kind: str,
    features: Sequence[int],
    dtype: DTypeLike = jnp.float32,
    *,
    norm: str = "group",
    name: str | None = None,
) -> nn.Module:
    """The encoder `kind`: maps slices `n h w c` to one `n h/2**s w/2**s f_s` per scale.

    Args:
        kind: one of `ENCODERS`.
        features: channels of each scale, finest first; only their number and the first one matter
            where the encoder is an ImageNet network.
        dtype: compute dtype.
        norm: "group" to train from scratch, "folded" to start from pretrained weights; the plain
            encoder knows only "group".
        name: of the submodule (flax).

    Raises:
        ValueError: there is no such encoder, or not with that norm.
    """
    if kind not in ENCODERS:
        raise ValueError(f"no encoder {kind!r}; there is {', '.join(ENCODERS)}")
    if kind != "plain":
        return TrunkEncoder(kind, features, norm, dtype, name=name)
    if norm != "group":
        raise ValueError(f"the plain encoder has no norm {norm!r}")
    return Encoder(features, dtype, name=name)


def make_trunk(
    kind: str,
    scales: int,
    dtype: DTypeLike = jnp.float32,
    *,
    norm: str = "group",
    name: str | None = None,
) -> nn.Module:
    """The network `kind` up to stride 2**scales, without an own finest scale.

    Args:
        kind: "resnet18" or "efficientnet_lite0".
        scales: 1 to `TRUNK_SCALES`.
        dtype: compute dtype.
        norm: as `make_encoder`.
        name: of the submodule (flax).
    """
    if kind == "resnet18":
        return ResNet18(RESNET18_FEATURES[:scales], norm, dtype, name=name)
    return EfficientNetLite0(scales, norm, dtype, name=name)


def frozen_mask(params: Mapping[str, Any], frozen_scales: int) -> Any:
    """Which parameters of an encoder stay as they were loaded.

    Args:
        params: parameters of a `TrunkEncoder`, or of any module with a `trunk`.
        frozen_scales: scales of the trunk that are frozen, from the finest: 0 none, 1 the stem at
            stride 2 (with what follows it at that stride), 2 also stride 4, ...

    Returns:
        A tree like `params`, True where frozen. Nothing outside the trunk ever is: it was never
        pretrained.

    Raises:
        ValueError: the trunk has fewer scales.
    """
    flat = flax.traverse_util.flatten_dict(dict(params))
    scales = {path: _trunk_scale(path) for path in flat}
    if not 0 <= frozen_scales <= max(scales.values()):
        raise ValueError(
            f"{frozen_scales} scales cannot be frozen: the encoder has {max(scales.values())} "
            "pretrained scales"
        )
    return flax.traverse_util.unflatten_dict(
        {path: 0 < scale <= frozen_scales for path, scale in scales.items()}
    )


def _trunk_scale(path: tuple[str, ...]) -> int:
    """Scale of a parameter of the trunk; 0 for any other.

    >>> _trunk_scale(("trunk", "scale2_block0", "conv1", "conv", "kernel"))
    2
    >>> _trunk_scale(("scale0", "ConvNormRelu_0", "Conv_0", "kernel"))
    0
    """
    if path[0] != "trunk":
        return 0
    match = re.match(r"scale(\d+)_", path[1])
    assert match, path
    return int(match[1])
