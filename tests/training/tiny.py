"""Networks and batches small enough to compile in a second or two."""

import functools

import numpy as np
import optax

from vfseg.crops.settings import AugmentSettings
from vfseg.models.discriminator import Discriminator
from vfseg.models.generator import Generator
from vfseg.training.adversary import AdversaryUpdate
from vfseg.training.batch import DataSettings
from vfseg.training.stages import Phase
from vfseg.training.state import create_state
from vfseg.training.step import GeneratorUpdate, StepSettings

HU_WINDOWS = ((0.0, 1800.0),)
SGD = optax.identity()

ATTENTION = Phase(recurrent=False, adversarial=False, frozen=False)
SUPERVISED = Phase(recurrent=True, adversarial=False, frozen=False)
ADVERSARIAL = Phase(recurrent=True, adversarial=True, frozen=False)


def tiny_settings(optimizer=None, *, generator=(), adversary=(), augment=None, losses=None):
    """Settings of a step: window of 3, two scales, recurrence at the lower; no augmentation.

    The default optimiser is SGD: the gradient itself is the direction. `generator` and `adversary`
    change single settings of these parts.
    """
    learning = {
        "optimizer": SGD if optimizer is None else optimizer,
        "rate": optax.constant_schedule(0.1),
    }
    network = Generator(
        "plain", (4, 8), attention=True, window=3, recurrent_scales=(1,), recurrent_features=2
    )
    parts = {"network": network, "ema_decay": 0.9, "frozen": lambda g_params: None}
    return StepSettings(
        generator=GeneratorUpdate(**{**learning, **parts, **dict(generator)}),
        adversary=tiny_adversary(**{**learning, **dict(adversary)}),
        losses=losses or {"l1": 0.5, "dice": 1.0, "cross_entropy": 2.0, "focal": 0.0},
        data=DataSettings(HU_WINDOWS, augment or AugmentSettings(), voxel_spacing=1.25),
    )


def tiny_adversary(**changes):
    """A discriminator of two layers that judges every patch; without R1, and never paused."""
    settings = {
        "network": Discriminator((4, 8)),
        "optimizer": SGD,
        "rate": optax.constant_schedule(0.1),
        "pause_above": 1.0,
        "form": "cross_entropy",
        "everywhere": True,
        "r1": 0.0,
        "weight": optax.constant_schedule(0.3),
    }
    return AdversaryUpdate(**{**settings, **changes})


def tiny_state(settings, seed=0):
    """State at step 0; one object for equal networks and optimisers."""
    return _state(
        settings.generator.network,
        settings.adversary.network,
        settings.generator.optimizer,
        settings.adversary.optimizer,
        len(settings.data.hu_windows),
        seed,
    )


@functools.cache
def _state(generator, discriminator, g_optimizer, d_optimizer, channels, seed):
    shape = (1, 4, 16, 16, channels)
    return create_state(
        generator, discriminator, g_optimizer, d_optimizer, ct_shape=shape, seed=seed
    )


def tiny_batch(seed=0, runs=4, targets=2):
    """A batch of noise: CT -200..1200 HU, a tenth of the target pixels 1."""
    rng = np.random.default_rng(seed)
    return {
        "ct": rng.integers(-200, 1200, (runs, targets + 2, 16, 16), np.int16),
        "target": (rng.uniform(size=(runs, targets, 16, 16)) < 0.1).astype(np.uint8),
        "plane": np.arange(runs, dtype=np.int32) % 3,
    }
