"""From a config to the networks, optimisers and schedules of a training run."""

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from vfseg.data.augment import AugmentSettings
from vfseg.data.prepare import PrepareSettings
from vfseg.data.splits import SplitSettings
from vfseg.data.windows import WindowSettings
from vfseg.models.discriminator import Discriminator
from vfseg.models.generator import Generator
from vfseg.training.step import StepSettings


def make_generator(config: ConfigDict) -> Generator:
    """The generator of a config."""
    return Generator(
        **config.generator, window=config.windows.length, dtype=jnp.dtype(config.compute_dtype)
    )


def prepare_settings(config: ConfigDict) -> PrepareSettings:
    """How a config cuts crops."""
    fields = {**config.prepare, "crop_shape": tuple(config.prepare.crop_shape)}
    return PrepareSettings(**fields)


def split_settings(config: ConfigDict) -> SplitSettings:
    """How a config divides the patients that the manifest leaves open."""
    return SplitSettings(**config.split, seed=config.seed)


def window_settings(config: ConfigDict) -> WindowSettings:
    """How a config draws windows."""
    return WindowSettings(**config.windows)


def is_synthetic(config: ConfigDict) -> bool:
    """Whether the fractures of a config's cases are made, not found."""
    return not config.manifest or config.virtual_fractures.variants > 0


def adversarial_start(config: ConfigDict) -> int:
    """First step with a discriminator."""
    return round(config.train.adversarial_from * config.train.steps)


def step_settings(config: ConfigDict) -> StepSettings:
    """Everything static of a training step.

    The generator's rate warms up over 5 % of the steps and follows a cosine to zero; the
    discriminator's is constant, with the first moment of pix2pix. The adversarial weight ramps up
    linearly over half of the steps in which there is one.
    """
    train, start = config.train, adversarial_start(config)
    warm_up = max(1, train.steps // 20)
    rate = optax.warmup_cosine_decay_schedule(
        0.0, train.generator_learning_rate, warm_up, max(train.steps, warm_up + 1)
    )
    ramp = max(1, (train.steps - start) // 2)
    return StepSettings(
        generator=make_generator(config),
        discriminator=Discriminator(
            tuple(config.discriminator.features), dtype=jnp.dtype(config.compute_dtype)
        ),
        g_optimizer=optax.adam(rate),
        d_optimizer=optax.adam(train.discriminator_learning_rate, b1=0.5),
        adversarial_schedule=optax.linear_schedule(0.0, config.losses.adversarial, ramp, start),
        loss_weights={name: config.losses[name] for name in ("l1", "dice", "cross_entropy")},
        hu_windows=tuple(tuple(window) for window in config.hu_windows),
        augment=AugmentSettings(**config.augment),
        plane=config.windows.plane,
        voxel_spacing=config.prepare.voxel_spacing,
    )
