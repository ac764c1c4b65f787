"""What a case holds, drawn before any voxel: its levels, their fractures, a supernumerary one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vfseg.data.schemes import LEVELS
from vfseg.errors import UserError
from vfseg.synthesis.phantom.fractures import FractureSpec, draw_pattern, draw_spec
from vfseg.synthesis.phantom.spine import TRANSITIONAL
from vfseg.synthesis.seeds import fresh
from vfseg.synthesis.settings import PhantomSettings

# One stream of random numbers per purpose; new ones go to the end, so that old ones stay.
_STREAMS = (
    *("plan", "spine", "fractures", "lookalikes", "tissue", "texture", "scanner", "noise"),
    *("rare", "pattern", "hard_negatives", "randomised"),
)


class CasePlan(NamedTuple):
    """What a case holds.

    Attributes:
        levels: to be labelled, cranial to caudal, without a supernumerary one.
        specs: level -> its fracture or old deformity, None where it is whole.
        extra: a supernumerary level, or None.
    """

    levels: tuple[str, ...]
    specs: Mapping[str, FractureSpec | None]
    extra: str | None


def random_streams(seed: int | np.random.SeedSequence) -> dict[str, np.random.Generator]:
    """Purpose -> random numbers of a case; equal seeds give equal ones, however often asked."""
    seeds = fresh(seed).spawn(len(_STREAMS))
    return dict(zip(_STREAMS, map(np.random.default_rng, seeds)))


def draw_plan(
    streams: Mapping[str, np.random.Generator],
    settings: PhantomSettings,
    asked: Mapping[str, FractureSpec | None] | None = None,
) -> CasePlan:
    """Draws what a case holds.

    Args:
        streams: of `random_streams`, of which nothing was drawn before.
        settings: rates.
        asked: fractures to take in place of drawn ones; levels that are not named stay whole.

    Raises:
        UserError: a fracture is asked for at a level outside the case.
    """
    levels = _draw_levels(streams["plan"], settings)
    if asked is None:
        specs = draw_fractures(streams, levels, settings)
    else:
        specs = _asked_fractures(levels, asked)
    return CasePlan(levels, specs, _draw_transitional(streams["rare"], settings))


def _draw_levels(rng: np.random.Generator, settings: PhantomSettings) -> tuple[str, ...]:
    low, high = (LEVELS.index(level) for level in settings.levels)
    count = rng.integers(settings.levels_per_case[0], settings.levels_per_case[1] + 1)
    start = rng.integers(low, high + 2 - count)
    return LEVELS[start : start + count]


def _asked_fractures(
    levels: Sequence[str], asked: Mapping[str, FractureSpec | None]
) -> dict[str, FractureSpec | None]:
    for level in asked:
        if level not in levels:
            raise UserError(
                f"a fracture is asked for at {level}, but the case holds {levels[0]} to "
                f"{levels[-1]}. Widen `levels` and `levels_per_case`, or choose another level."
            )
    return {level: asked.get(level) for level in levels}


def draw_fractures(
    streams: Mapping[str, np.random.Generator], levels: Sequence[str], settings: PhantomSettings
) -> dict[str, FractureSpec | None]:
    """Level -> its fracture or old deformity, None where it is whole. Arguments as `draw_plan`."""
    rng = streams["plan"]
    specs: dict[str, FractureSpec | None] = {}
    for level in levels:
        acute, old = rng.random(2)
        spec = draw_spec(rng, settings.across_slices_fraction)
        healed = FractureSpec(spec.kind, max(spec.height_loss, 0.2), spec.endplates, acute=False)
        specs[level] = None
        if acute < settings.fracture_rate(level):
            specs[level] = spec
        elif old < settings.old_deformity_probability:
            specs[level] = healed
    for level, drawn in specs.items():
        if drawn is not None:
            specs[level] = draw_pattern(
                streams["pattern"], drawn, settings.split_fraction, settings.burst_fraction
            )
    return specs


def _draw_transitional(rng: np.random.Generator, settings: PhantomSettings) -> str | None:
    chance, which = rng.random(2)
    if chance >= settings.transitional_probability:
        return None
    return tuple(TRANSITIONAL)[int(which * len(TRANSITIONAL))]
