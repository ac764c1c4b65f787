"""HU of tissues and texture of bone: those of a common CT, or drawn from far wider ranges.

Domain randomisation trains on images more varied than real ones, so that no real one is strange.
What is drawn here shapes the CT alone: anatomy, fractures and truth are drawn elsewhere.

References:
    Billot et al., SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without
    retraining, Medical Image Analysis 2023.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Appearance:
    """How tissues look in a case.

    Attributes:
        fat, muscle, organ, lung, canal: HU.
        disc: HU added to every disc.
        shell: HU of solid cortex.
        grain: factor on the contrast of the trabecular grain.
        coarseness: factor on the size of the trabecular grain.
        uneven: SD of the thickness of a body's cortex, as a fraction of its mean.
    """

    fat: float = -100.0
    muscle: float = 55.0
    organ: float = 40.0
    lung: float = -850.0
    canal: float = 22.0
    disc: float = 0.0
    shell: float = 1080.0
    grain: float = 1.0
    coarseness: float = 1.0
    uneven: float = 0.28


COMMON = Appearance()

RANGES = {
    "fat": (-130.0, -60.0),
    "muscle": (20.0, 90.0),
    "organ": (0.0, 120.0),
    "lung": (-930.0, -650.0),
    "canal": (0.0, 60.0),
    "disc": (-35.0, 45.0),
    "shell": (750.0, 1500.0),
    "grain": (0.3, 2.2),
    "coarseness": (0.7, 1.8),
    "uneven": (0.2, 0.7),
}
"""Attribute of `Appearance` -> (low, high), uniform."""


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Draws every attribute from its range in `RANGES`."""
    return Appearance(**{name: float(rng.uniform(*span)) for name, span in RANGES.items()})
