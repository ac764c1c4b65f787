"""What can be set of a training run: stages, losses, rates and rhythm."""

import dataclasses
from typing import Annotated

from vfseg.settings import (
    Settings,
    above,
    at_least,
    below,
    between,
    fields_of,
    one_of,
    whole,
)

RUNNERS = ("jit", "pmap")
"""How the devices share a step; see `vfseg.training.parallel`."""

SCHEDULES = ("cosine", "constant_linear", "polynomial")
"""Forms in which a learning rate falls; see `vfseg.training.schedules`."""

ADVERSARIAL_FORMS = ("cross_entropy", "least_squares", "hinge")
"""How a verdict of the discriminator becomes a loss; see `vfseg.training.losses`."""

_WEIGHT = at_least(0)
_SUPERVISED_WEIGHT = at_least(0)  # of a term that compares with the drawn fractures


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageSettings(Settings, section="stages"):
    """Steps of each stage, 0 leaves it out; see `vfseg.training.stages`.

    Attributes:
        attention: the Attention U-Net on single slices.
        recurrent: with the ConvLSTM.
        adversarial: with the discriminator.
        fine_tune: everything, at a lower rate.
    """

    attention: Annotated[int, whole(0)]
    recurrent: Annotated[int, whole(0)]
    adversarial: Annotated[int, whole(0)]
    fine_tune: Annotated[int, whole(0)]

    @property
    def total(self) -> int:
        """Steps of all stages together."""
        return self.attention + self.recurrent + self.adversarial + self.fine_tune


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossSettings(Settings, section="losses"):
    """Weights of the terms of the generator's loss, 0 leaves a term out; see `losses`.

    Attributes:
        adversarial: of the discriminator's verdict, ramped up over half of its stage.
        adversarial_form: how a verdict becomes a loss, one of `ADVERSARIAL_FORMS`.
        adversarial_everywhere: False judges only patches where a map shows something.
        r1: of the penalty on the discriminator's gradient.
        l1: of the mean absolute difference.
        dice: of the soft Dice loss.
        cross_entropy: of the binary cross-entropy.
        focal: of the focal loss.
        focal_tversky: of the focal Tversky loss.
    """

    adversarial: Annotated[float, _WEIGHT]
    adversarial_form: Annotated[str, one_of(ADVERSARIAL_FORMS)]
    adversarial_everywhere: bool
    r1: Annotated[float, _WEIGHT]
    l1: Annotated[float, _SUPERVISED_WEIGHT]
    dice: Annotated[float, _SUPERVISED_WEIGHT]
    cross_entropy: Annotated[float, _SUPERVISED_WEIGHT]
    focal: Annotated[float, _SUPERVISED_WEIGHT]
    focal_tversky: Annotated[float, _SUPERVISED_WEIGHT]


SUPERVISED = tuple(
    name for name, (_, rule) in fields_of(LossSettings).items() if rule is _SUPERVISED_WEIGHT
)
"""Losses that compare with the drawn fractures, by the names of their weights."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings, section="train"):
    """Optimisers and rhythm of a training run.

    Attributes:
        generator_learning_rate: highest rate of the generator, after the warm-up.
        fine_tune_rate: its rate at the beginning of fine-tuning.
        schedule: how it falls, one of `SCHEDULES`.
        weight_decay: decoupled, of the generator; 0 is off.
        gradient_clip: highest global norm of the generator's gradient; 0 is off.
        ema_decay: of the running mean of the generator's parameters; 0 follows them.
        discriminator_learning_rate: constant until fine-tuning.
        pause_above: running accuracy, 0..1, above which the discriminator rests.
        patience: spans of `log_every` steps for which trouble may last; 0 never stops.
        log_every: steps between two lines of the log.
        save_every: steps between two checkpoints.
        validate_every: steps between two validations.
    """

    generator_learning_rate: Annotated[float, above(0)]
    fine_tune_rate: Annotated[float, above(0)]
    schedule: Annotated[str, one_of(SCHEDULES)]
    weight_decay: Annotated[float, at_least(0)]
    gradient_clip: Annotated[float, at_least(0)]
    ema_decay: Annotated[float, below(1)]
    discriminator_learning_rate: Annotated[float, above(0)]
    pause_above: Annotated[float, between(0, 1, "an accuracy")]
    patience: Annotated[int, whole(0)]
    log_every: Annotated[int, whole(1)]
    save_every: Annotated[int, whole(1)]
    validate_every: Annotated[int, whole(1)]
