"""Networks and batches small enough to compile in a second or two."""

import numpy as np
import optax

from vfseg.crops.augment import AugmentSettings
from vfseg.models.discriminator import Discriminator
from vfseg.models.generator import Generator
from vfseg.training.stages import Phase
from vfseg.training.state import create_state
from vfseg.training.step import StepSettings

HU_WINDOWS = ((0.0, 1800.0),)


ATTENTION = Phase(recurrent=False, adversarial=False, frozen=False)
SUPERVISED = Phase(recurrent=True, adversarial=False, frozen=False)
ADVERSARIAL = Phase(recurrent=True, adversarial=True, frozen=False)


def tiny_settings(optimizer=None, **changes):
    """Settings of a step: window of 3, two scales, recurrence at both; no augmentation.

    The default optimiser is SGD: the gradient itself is the direction.
    """
    optimizer = optax.identity() if optimizer is None else optimizer
    settings = {
        "generator": Generator("plain", (4, 8), True, 3, (0, 1), 2),
        "discriminator": Discriminator((4, 8)),
        "g_optimizer": optimizer,
        "d_optimizer": optimizer,
        "g_rate": optax.constant_schedule(0.1),
        "d_rate": optax.constant_schedule(0.1),
        "adversarial_schedule": optax.constant_schedule(0.3),
        "adversarial_form": "cross_entropy",
        "adversarial_everywhere": True,
        "r1": 0.0,
        "pause_above": 1.0,
        "loss_weights": {"l1": 0.5, "dice": 1.0, "cross_entropy": 2.0, "focal": 0.0},
        "ema_decay": 0.9,
        "frozen": lambda g_params: None,
        "hu_windows": HU_WINDOWS,
        "augment": AugmentSettings(),
        "voxel_spacing": 1.25,
    }
    return StepSettings(**{**settings, **changes})


def tiny_state(settings, seed=0):
    """State at step 0."""
    return create_state(
        settings.generator,
        settings.discriminator,
        settings.g_optimizer,
        settings.d_optimizer,
        ct_shape=(1, 4, 16, 16, len(settings.hu_windows)),
        seed=seed,
    )


def tiny_batch(seed=0, runs=4, targets=2):
    """A batch of noise: CT -200..1200 HU, a tenth of the target pixels 1."""
    rng = np.random.default_rng(seed)
    return {
        "ct": rng.integers(-200, 1200, (runs, targets + 2, 16, 16), np.int16),
        "target": (rng.uniform(size=(runs, targets, 16, 16)) < 0.1).astype(np.uint8),
        "plane": np.arange(runs, dtype=np.int32) % 3,
    }
