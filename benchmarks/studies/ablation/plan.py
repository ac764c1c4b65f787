"""Which variant is trained for how many steps, with which seeds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.studies.ablation.variants import VARIANTS

RULES = ("targets", "time")
"""What is equal: the slices that a training sees, or the time it takes."""


class Run(NamedTuple):
    """A training with its evaluation.

    Attributes:
        name: of the variant.
        rule: one of `RULES`.
        steps: in all.
        seed: of data order and parameters.
    """

    name: str
    rule: str
    steps: int
    seed: int

    @property
    def folder(self) -> str:
        """Name of its workdir; the same for both rules where they come to as many steps."""
        letters = (letter if letter.isalnum() else " " for letter in self.name.lower())
        return f"{'-'.join(''.join(letters).split())}-{self.steps}-seed{self.seed}"


def planned(
    names: Sequence[str], steps: int, seeds: int, costs: Mapping[str, Mapping[str, float]]
) -> Iterator[Run]:
    """All runs: those of equal targets for every seed, then those of equal time."""
    for rule in RULES:
        for seed in range(seeds):
            for name in names:
                if rule == "targets":
                    yield Run(name, rule, steps, seed)
                elif VARIANTS[name].equal_time:
                    yield Run(name, rule, steps_of_equal_time(name, steps, costs), seed)


def steps_of_equal_time(name: str, steps: int, costs: Mapping[str, Mapping[str, float]]) -> int:
    """Steps in the time of the full recipe; the same steps where that differs by less than 20 %."""
    ratio = costs["full recipe"]["ms_per_step"] / costs[name]["ms_per_step"]
    return steps if abs(ratio - 1) < 0.2 else round(steps * ratio)
