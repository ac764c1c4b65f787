"""Settings of the synthetic cohort: one dataclass, made from `config.phantom`."""

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vfseg.data.levels import LEVELS
from vfseg.errors import UserError

# Raise it when the same settings begin to give other voxels, so that old cohorts are made again.
VERSION = 3

# Share of slices that show a fracture, by level (a clinical series of T4-L5 crops), percent.
CLINICAL_RATES = dict(
    zip(LEVELS, (3.3, 5.4, 7.1, 7.3, 7.4, 6.3, 5.8, 14.7, 31.4, 35.7, 25.7, 16.9, 9.6, 4.5))
)


@dataclass(frozen=True)
class PhantomSettings:
    """What a synthetic cohort holds. Every case is a function of `seed`, its split and its number.

    Attributes:
        train, validation, test: cases per split; each split has its own branch
            of seeds, so no two cases of a cohort share one.
        seed: root of all seeds.
        levels: cranial and caudal end of the part of the spine that cases are taken from.
        levels_per_case: fewest and most labelled levels in a case, contiguous.
        voxel_spacing: (low, high) in mm for d, h and w (superior, anterior, right). A plain number
            or three numbers fix it. Axes with the same range share one draw.
        fracture_probability: labelled (acute) fractures per vertebra, mean over T4-L5.
        fracture_rates: "uniform", or "clinical" for the level-dependent rates of a clinical series
            scaled to the same mean (the thoracolumbar junction leads).
        old_deformity_probability: per vertebra without an acute fracture: a healed deformity with
            smooth thick cortex and no line. It carries no label: the map marks fracture sheets.
        across_slices_fraction: share of the fractures drawn as ribbons that run from left to right:
            in one sagittal slice they equal an unlabelled fleck, only the run of slices tells.
            Above 0 every vertebra holds such flecks.
        split_fraction: share of the remaining fractures with a second, upright sheet through both
            endplates (AO type A2).
        burst_fraction: share of them with an upright sheet to a bulging posterior wall (AO A3/A4).
        transitional_probability: cases with a T13 or an L6 where the field of view holds its place.
            It is labelled (VerSe 28 and 25) and never fractured.
        hardware_probability: cases with pedicle screws and rods, and the streaks of metal.
        noise_sd: (low, high) of the noise in HU after the reconstruction kernel.
        orientations: stored orientations, one drawn per case.
        oblique_degrees: largest rotation of the stored grid against the world.
    """

    train: int = 24
    validation: int = 8
    test: int = 8
    seed: int = 0
    levels: tuple[str, str] = ("T4", "L5")
    levels_per_case: tuple[int, int] = (5, 5)
    voxel_spacing: tuple[tuple[float, float], ...] = ((1.25, 1.25),) * 3
    fracture_probability: float = 0.4
    fracture_rates: str = "uniform"
    old_deformity_probability: float = 0.06
    across_slices_fraction: float = 0.0
    split_fraction: float = 0.03
    burst_fraction: float = 0.07
    transitional_probability: float = 0.03
    hardware_probability: float = 0.03
    noise_sd: tuple[float, float] = (15.0, 40.0)
    orientations: tuple[str, ...] = ("RAS", "LPS", "PIR", "LAS")
    oblique_degrees: float = 0.0

    def __post_init__(self):
        for name, value in self.__dict__.items():
            object.__setattr__(self, name, _tupled(value))
        object.__setattr__(self, "voxel_spacing", _spacing_ranges(self.voxel_spacing))
        for name, check, expected in _CHECKS:
            value = getattr(self, name)
            try:
                fine = check(value)
            except (TypeError, IndexError, ValueError):
                fine = False
            if not fine:
                raise UserError(f"config.phantom.{name} is {value!r}, expected {expected}.")
        if self.split_fraction + self.burst_fraction > 1:
            raise UserError(
                f"config.phantom.burst_fraction is {self.burst_fraction!r} and split_fraction "
                f"{self.split_fraction!r}, together more than 1. Lower one of them."
            )
        span = LEVELS.index(self.levels[1]) - LEVELS.index(self.levels[0]) + 1
        if self.levels_per_case[1] > span:
            raise UserError(
                f"config.phantom.levels_per_case is {self.levels_per_case!r}, but config.phantom."
                f"levels {self.levels!r} has {span} levels. Widen `levels`, or ask for fewer."
            )

    @classmethod
    def of(cls, settings: "PhantomSettings | Mapping[str, Any]") -> "PhantomSettings":
        """Settings from a mapping such as `config.phantom`; absent names keep their default.

        Raises:
            UserError: an unknown name (with the nearest known one), or a value that cannot be.
        """
        if isinstance(settings, PhantomSettings):
            return settings
        known = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
                raise UserError(f"config.phantom.{name} is not a setting of the phantom; {hint}")
        return cls(**{name: settings[name] for name in settings})

    def fingerprint(self) -> str:
        """Hash of everything that shapes a case, and of the version of the generator."""
        shaping = dataclasses.asdict(self)
        for count in ("train", "validation", "test"):
            del shaping[count]
        text = json.dumps([VERSION, shaping], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def fracture_rate(self, level: str) -> float:
        """Probability of an acute fracture at a level."""
        rate = self.fracture_probability
        if self.fracture_rates == "clinical":
            rate *= CLINICAL_RATES[level] / float(np.mean(list(CLINICAL_RATES.values())))
        return min(rate, 0.95)


def _tupled(value: Any) -> Any:
    """Sequences as tuples, at every depth (`ConfigDict` gives lists and tuples)."""
    if isinstance(value, (list, tuple)):
        return tuple(_tupled(item) for item in value)
    return value


def _spacing_ranges(value: Any) -> tuple[tuple[float, float], ...]:
    axes = value if isinstance(value, tuple) else (value,) * 3
    return tuple(_tupled(a if isinstance(a, tuple) else (a, a)) for a in axes)


def _is_range(value: Any) -> bool:
    return len(value) == 2 and value[0] <= value[1]


def _is_orientation(code: str) -> bool:
    return sorted("RLAPSI".index(letter) // 2 for letter in code) == [0, 1, 2]


_COUNT = "a whole number from 0"
_SHARE = "a number from 0 to 1"
_CHECKS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    *((name, lambda n: n == int(n) and n >= 0, _COUNT)
      for name in ("train", "validation", "test", "seed")),
    ("levels", lambda ends: _is_range([LEVELS.index(end) for end in ends]),
     "two levels of T4..L5, the cranial one first"),
    ("levels_per_case", lambda span: _is_range(span) and span[0] >= 1, "(fewest, most), from 1"),
    ("voxel_spacing",
     lambda axes: len(axes) == 3 and all(_is_range(a) and a[0] >= 0.3 and a[1] <= 5 for a in axes),
     "a number, three numbers, or three (low, high) ranges, in mm from 0.3 to 5"),
    *((name, lambda share: 0 <= share <= 1, _SHARE)
      for name in ("fracture_probability", "old_deformity_probability", "across_slices_fraction",
                   "split_fraction", "burst_fraction", "transitional_probability",
                   "hardware_probability")),
    ("fracture_rates", lambda name: name in ("uniform", "clinical"), "uniform or clinical"),
    ("noise_sd", lambda span: _is_range(span) and span[0] >= 0, "(low, high) in HU from 0"),
    ("orientations", lambda codes: len(codes) > 0 and all(map(_is_orientation, codes)),
     "codes such as RAS, LPS or PIR"),
    ("oblique_degrees", lambda angle: 0 <= angle <= 30, "0 to 30 degrees"),
)  # fmt: skip
