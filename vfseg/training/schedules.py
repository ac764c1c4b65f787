"""Learning rates by step.

The generator's rate warms up over 5 % of the steps before fine-tuning and then falls, in the form
the config names, to the rate of fine-tuning, which falls to zero in the same form:

- `cosine`: half a cosine (Loshchilov & Hutter, 2017, ICLR);
- `constant_linear`: constant for the first half, then linear (Isola et al., 2017, CVPR);
- `polynomial`: (1 - t) ** 0.9 (Chen et al., 2018, TPAMI: DeepLab).

The discriminator's is constant; in fine-tuning it is lowered by as much as the generator's.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

WARM_UP = 0.05  # share of the steps

Schedule = Callable[[Any], Any]


def _cosine(high: float, low: float, steps: int) -> Schedule:
    return optax.cosine_decay_schedule(high, steps, alpha=low / high)


def _constant_linear(high: float, low: float, steps: int) -> Schedule:
    return optax.linear_schedule(high, low, max(1, steps - steps // 2), steps // 2)


def _polynomial(high: float, low: float, steps: int) -> Schedule:
    return optax.polynomial_schedule(high, low, 0.9, steps)


_FALLS = {
    "cosine": _cosine,
    "constant_linear": _constant_linear,
    "polynomial": _polynomial,
}


def warm_up_steps(steps: int) -> int:
    """Steps of the warm-up of so many steps before fine-tuning."""
    return max(1, round(WARM_UP * steps))


def generator_rate(
    form: str, peak: float, steps: int, fine_tune_rate: float, fine_tune_steps: int
) -> Schedule:
    """The generator's learning rate.

    Args:
        form: one of `vfseg.training.settings.SCHEDULES`.
        peak: after the warm-up.
        steps: before fine-tuning.
        fine_tune_rate: at the beginning of fine-tuning; without fine-tuning the rate falls to 0.
        fine_tune_steps: 0 for none.
    """
    fall = _FALLS[form]
    warm_up = warm_up_steps(steps)
    low = fine_tune_rate if fine_tune_steps else 0.0
    rise = optax.linear_schedule(0.0, peak, warm_up)
    parts, turns = [rise, fall(peak, low, max(1, steps - warm_up))], [warm_up]
    if fine_tune_steps:
        parts.append(fall(fine_tune_rate, 0.0, fine_tune_steps))
        turns.append(steps)
    return optax.join_schedules(parts, turns)


def discriminator_rate(
    constant: float, generator: Schedule, peak: float, fine_tune_start: int
) -> Schedule:
    """The discriminator's learning rate.

    Args:
        constant: before fine-tuning.
        generator: the generator's learning rate.
        peak: highest of `generator`.
        fine_tune_start: step.
    """

    def rate(step: Any) -> Any:
        return constant * jnp.where(step < fine_tune_start, 1.0, generator(step) / peak)

    return rate
