"""Staged training: which part of the networks learns when.

1. `attention`: the Attention U-Net alone, on single slices;
2. `recurrent`: with the ConvLSTM, the earlier weights carried over (the ConvLSTM's contribution
   starts at zero, so the network answers as before until it has learnt better);
3. `adversarial`: with the discriminator, its weight ramped up over half of the stage;
4. `fine_tune`: everything, frozen parts of a pretrained encoder included, at a lower rate.

The stages follow each other in one run of steps. A stage of 0 steps is left out.
"""

from typing import NamedTuple

from vfseg.training.settings import StageSettings

STAGES = ("attention", "recurrent", "adversarial", "fine_tune")


class Phase(NamedTuple):
    """What is static in a compiled step; each one that occurs is compiled once.

    Attributes:
        recurrent: whether the generator looks at the neighbouring slices.
        adversarial: whether there is a discriminator.
        frozen: whether the frozen part of the encoder stays as it was loaded.
    """

    recurrent: bool
    adversarial: bool
    frozen: bool


class Stage(NamedTuple):
    """A stretch of training.

    Attributes:
        name: one of `STAGES`.
        first: its first step.
        last: the step after its last one.
        phase: what its steps compute.
    """

    name: str
    first: int
    last: int
    phase: Phase


def plan_stages(stages: StageSettings, *, frozen: bool) -> tuple[Stage, ...]:
    """The stages that have steps, in their order.

    Args:
        stages: steps of each.
        frozen: whether a part of the encoder stays as it was loaded until fine-tuning.
    """
    planned: list[Stage] = []
    done = 0
    for name in STAGES:
        steps = getattr(stages, name)
        phase = Phase(
            recurrent=name != "attention",
            adversarial=name in ("adversarial", "fine_tune") and stages.adversarial > 0,
            frozen=frozen and name != "fine_tune",
        )
        if steps:
            planned.append(Stage(name, done, done + steps, phase))
        done += steps
    return tuple(planned)


def share_out(steps: int, stages: StageSettings) -> dict[str, int]:
    """As many steps in all, in the proportions of some stages: name -> steps.

    >>> share_out(10, StageSettings(attention=70, recurrent=20, adversarial=10, fine_tune=0))
    {'attention': 7, 'recurrent': 2, 'adversarial': 1, 'fine_tune': 0}
    """
    before = [getattr(stages, name) for name in STAGES]
    ends = [round(sum(before[: n + 1]) * steps / sum(before)) for n in range(len(before))]
    return {name: end - start for name, start, end in zip(STAGES, [0, *ends], ends)}


def stage_at(stages: tuple[Stage, ...], step: int) -> Stage:
    """The stage to which a step belongs; the last one from its end on."""
    return next((stage for stage in stages if step < stage.last), stages[-1])
