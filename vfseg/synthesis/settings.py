"""What can be set of cases with known truth: phantoms, painted label maps, virtual fractures."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from vfseg.data.schemes import LEVELS
from vfseg.data.settings import SCHEME
from vfseg.settings import Rule, Settings, between, one_of, whole

# Raise it when the same settings begin to give other voxels, so that old cohorts are made again.
PHANTOM_VERSION = 3

# Slices that show a fracture, percent, by level (a clinical series of T4-L5 crops).
CLINICAL_RATES = dict(
    zip(LEVELS, (3.3, 5.4, 7.1, 7.3, 7.4, 6.3, 5.8, 14.7, 31.4, 35.7, 25.7, 16.9, 9.6, 4.5))
)

RATES = ("uniform", "clinical")


def _is_range(value: Any) -> bool:
    return len(value) == 2 and value[0] <= value[1]


def _is_orientation(code: str) -> bool:
    return sorted("RLAPSI".index(letter) // 2 for letter in code) == [0, 1, 2]


def _ranges(value: Any) -> tuple[tuple[float, float], ...]:
    """(low, high) of each axis, from a number, three numbers or three ranges."""
    axes = value if isinstance(value, tuple) else (value,) * 3
    return tuple(axis if isinstance(axis, tuple) else (axis, axis) for axis in axes)


_PROBABILITY = between(0, 1)
_ENDS = Rule(
    lambda ends: _is_range([LEVELS.index(end) for end in ends]),
    "two levels of T4..L5, the cranial one first",
)
_COUNTS = Rule(
    lambda span: _is_range(span) and all(whole(1).holds(n) for n in span), "(fewest, most), from 1"
)
_SPACINGS = Rule(
    lambda axes: (
        len(_ranges(axes)) == 3
        and all(_is_range(a) and a[0] >= 0.3 and a[1] <= 5 for a in _ranges(axes))
    ),
    "a number, three numbers, or three (low, high) ranges, in mm from 0.3 to 5",
)
_NOISE = Rule(lambda span: _is_range(span) and span[0] >= 0, "(low, high) in HU from 0")
_ORIENTATIONS = Rule(
    lambda codes: not isinstance(codes, str) and codes and all(map(_is_orientation, codes)),
    "codes such as RAS, LPS or PIR",
)


@dataclass(frozen=True, kw_only=True)
class PhantomSettings(Settings, section="phantom"):
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
        across_slices_fraction: of the fractures, drawn as ribbons that run from left to right: in
            one sagittal slice they equal an unlabelled fleck, only the run of slices tells. Above 0
            every vertebra holds such flecks.
        split_fraction: of the remaining fractures, with a second, upright sheet through both
            endplates (AO type A2).
        burst_fraction: of the remaining fractures, with an upright sheet to a bulging posterior
            wall (AO A3/A4).
        transitional_probability: cases with a T13 or an L6 where the field of view holds its place.
            It is labelled (VerSe 28 and 25) and never fractured.
        hardware_probability: cases with pedicle screws and rods, and the streaks of metal.
        hard_negatives: probability of further look-alikes, each by itself: bridging osteophytes and
            a worn disc (dense endplates, gas) at every disc, contrast in the vessels of every
            vertebra, marked scoliosis in every case. They carry no label.
        noise_sd: (low, high) of the noise in HU after the reconstruction kernel.
        orientations: stored orientations, one drawn per case.
        oblique_degrees: largest rotation of the stored grid against the world.
        randomised: tissues, vessels, cortex, texture, kernel, noise and motion from ranges wider
            than real ones (`appearance`, `randomise`); `noise_sd` is then not used.
    """

    train: Annotated[int, whole(0)] = 24
    validation: Annotated[int, whole(0)] = 8
    test: Annotated[int, whole(0)] = 8
    seed: Annotated[int, whole(0)] = 0
    levels: Annotated[tuple[str, str], _ENDS] = ("T4", "L5")
    levels_per_case: Annotated[tuple[int, int], _COUNTS] = (5, 5)
    voxel_spacing: Annotated[tuple[tuple[float, float], ...], _SPACINGS] = ((1.25, 1.25),) * 3
    fracture_probability: Annotated[float, _PROBABILITY] = 0.4
    fracture_rates: Annotated[str, one_of(RATES)] = "uniform"
    old_deformity_probability: Annotated[float, _PROBABILITY] = 0.06
    across_slices_fraction: Annotated[float, _PROBABILITY] = 0.0
    split_fraction: Annotated[float, _PROBABILITY] = 0.03
    burst_fraction: Annotated[float, _PROBABILITY] = 0.07
    transitional_probability: Annotated[float, _PROBABILITY] = 0.03
    hardware_probability: Annotated[float, _PROBABILITY] = 0.03
    hard_negatives: Annotated[float, _PROBABILITY] = 0.0
    noise_sd: Annotated[tuple[float, float], _NOISE] = (15.0, 40.0)
    orientations: Annotated[tuple[str, ...], _ORIENTATIONS] = ("RAS", "LPS", "PIR", "LAS")
    oblique_degrees: Annotated[float, between(0, 30, "a number of degrees")] = 0.0
    randomised: bool = False

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "voxel_spacing", _ranges(self.voxel_spacing))

    def unfit(self) -> Iterator[str]:
        """The patterns are parts of one whole, and a case has no more levels than there are."""
        if self.split_fraction + self.burst_fraction > 1:
            yield (
                f"config.phantom.burst_fraction={self.burst_fraction} and config.phantom."
                f"split_fraction={self.split_fraction}: expected at most 1 together. Lower one of "
                "them."
            )
        span = LEVELS.index(self.levels[1]) - LEVELS.index(self.levels[0]) + 1
        if self.levels_per_case[1] > span:
            yield (
                f"config.phantom.levels_per_case={self.levels_per_case}: expected at most {span}, "
                f"the number of levels of config.phantom.levels={self.levels}. Widen the levels, "
                "or ask for fewer."
            )

    def fingerprint(self) -> str:
        """Hash of everything that shapes a case, and of the version of the generator."""
        shaping = dataclasses.asdict(self)
        for count in ("train", "validation", "test"):
            del shaping[count]
        if not self.hard_negatives:  # cohorts from before it was there are the same cohorts
            del shaping["hard_negatives"]
        if not self.randomised:  # a cohort from before there was that setting is the same
            del shaping["randomised"]
        text = json.dumps([PHANTOM_VERSION, shaping], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def fracture_rate(self, level: str) -> float:
        """Probability of an acute fracture at a level."""
        return rate_at(level, self.fracture_probability, self.fracture_rates)


def rate_at(level: str, mean: float, rates: str) -> float:
    """Probability of a fracture at a level, at most 0.95.

    Args:
        level: T4..L5.
        mean: over all levels.
        rates: one of `RATES`.
    """
    if rates == "clinical":
        mean *= CLINICAL_RATES[level] / (sum(CLINICAL_RATES.values()) / len(CLINICAL_RATES))
    return min(mean, 0.95)


@dataclass(frozen=True, kw_only=True)
class PaintedSettings(Settings, section="painted"):
    """CTs painted from vertebra label maps: real shapes, drawn intensities, drawn fractures.

    Attributes:
        label_maps: folder of the label maps, searched at every depth; empty paints nothing.
        variants: CTs of each label map.
        seed: root of all seeds.
        fracture_probability: labelled (acute) fractures per vertebra, mean over T4-L5.
        fracture_rates: "clinical" for the level-dependent rates of a clinical series scaled to the
            same mean (the thoracolumbar junction leads), or "uniform".
        vertebra_scheme: label scheme of the maps, "" lets the anatomy decide.
    """

    label_maps: str = ""
    variants: Annotated[int, whole(1)] = 8
    seed: Annotated[int, whole(0)] = 0
    fracture_probability: Annotated[float, between(0, 1)] = 0.26
    fracture_rates: Annotated[str, one_of(RATES)] = "clinical"
    vertebra_scheme: Annotated[str, SCHEME] = ""

    def fractures(self) -> PhantomSettings:
        """How often the phantom's kinds of fracture are drawn."""
        return PhantomSettings(
            fracture_probability=self.fracture_probability,
            fracture_rates=self.fracture_rates,
            old_deformity_probability=0.08 if self.fracture_probability else 0.0,
            across_slices_fraction=0.1,
            split_fraction=0.05,
            burst_fraction=0.12,
        )


@dataclass(frozen=True, kw_only=True)
class VirtualFractureSettings(Settings, section="virtual_fractures"):
    """What is made of healthy CT.

    Attributes:
        variants: fractured copies of each CT; 0 takes the CTs as they are.
        seed: root of all seeds.
        fracture_probability: per vertebra, mean over T4-L5.
        fracture_rates: "clinical" for the level-dependent rates of a clinical series scaled to the
            same mean (the thoracolumbar junction leads), or "uniform".
        fewest: fractures in every variant, as far as there are vertebrae to break.
        hard_negatives: share of the other vertebrae that are given a look-alike of a fracture, of
            a kind drawn evenly (`lookalikes.NAMES`); their truth stays empty.
        vertebra_scheme: label scheme of the maps, "" lets the anatomy decide.
    """

    variants: Annotated[int, whole(0)] = 4
    seed: Annotated[int, whole(0)] = 0
    fracture_probability: Annotated[float, between(0, 1)] = 0.26
    fracture_rates: Annotated[str, one_of(RATES)] = "clinical"
    fewest: Annotated[int, whole(0)] = 1
    hard_negatives: Annotated[float, between(0, 1)] = 0.0
    vertebra_scheme: Annotated[str, SCHEME] = ""

    def rate(self, level: str) -> float:
        """Probability of a fracture at a level."""
        return rate_at(level, self.fracture_probability, self.fracture_rates)
