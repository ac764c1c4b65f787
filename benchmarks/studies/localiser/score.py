"""VerSe's measures of what was found.

Reference:
    Sekuboyina et al., 2021, Medical Image Analysis: VerSe, a vertebrae labelling and segmentation
    benchmark for multi-detector CT images (identification rate, mean distance).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vfseg.localisation.find import Found
from vfseg.localisation.levels import NAMES, STEP_MM

NEAR_MM = 20.0
"""A vertebra further from its true place is not identified."""


class Score(NamedTuple):
    """Counts of vertebrae, which add up over CTs.

    Attributes:
        true: vertebrae that are there.
        identified: whose nearest found one has their name, within `NEAR_MM`.
        placed: that have a found one of any name within half of that.
        distance: mm, summed over those that are placed.
        refused: CTs in which nothing was found.
    """

    true: int = 0
    identified: int = 0
    placed: int = 0
    distance: float = 0.0
    refused: int = 0

    def plus(self, other: "Score") -> "Score":
        """Both together."""
        return Score(*(a + b for a, b in zip(self, other)))

    def line(self) -> str:
        """In words."""
        mean = self.distance / self.placed if self.placed else float("nan")
        refused = f", {self.refused} refused" if self.refused else ""
        return (
            f"{self.identified}/{self.true} identified "
            f"({self.identified / max(self.true, 1):.2f}), "
            f"{self.placed}/{self.true} placed, mean distance {mean:.1f} mm{refused}"
        )


def score(found: Found | None, points: Mapping[str, np.ndarray]) -> Score:
    """Compares what was found with what is there.

    Args:
        found: None where nothing was.
        points: level -> [3] mm in RAS+.
    """
    if found is None or not found.vertebrae:
        return Score(len(points), refused=1)
    places = np.array([v.place for v in found.vertebrae])
    total = Score(len(points))
    for level, place in points.items():
        away = np.linalg.norm(places - place, axis=1)
        nearest = int(away.argmin())
        named = found.vertebrae[nearest].level == level and away[nearest] <= NEAR_MM
        near = bool(away[nearest] <= NEAR_MM / 2)
        total = total.plus(Score(0, int(named), int(near), float(away[nearest]) * near))
    return total


def true_name(place: Sequence[float], points: Mapping[str, np.ndarray]) -> str | None:
    """What a place in the spine is truly called, also where it lies beyond the labelled ones.

    Args:
        place: [3] mm in RAS+.
        points: level -> [3] mm, cranial to caudal.

    Returns:
        The level of the nearest point; that of the vertebra beyond it where a usual step leads
        there; None where that is no vertebra, or is further away.
    """
    away = {level: float(np.linalg.norm(p - place)) for level, p in points.items()}
    nearest = min(away, key=away.__getitem__)
    number = NAMES.index(nearest)
    if away[nearest] <= STEP_MM[min(number, len(STEP_MM) - 1)] / 2:
        return nearest
    lower = place[2] < points[nearest][2]
    number += 1 if lower else -1
    step = STEP_MM[min(number, NAMES.index(nearest), len(STEP_MM) - 1)]
    near = abs(away[nearest] - step) < step / 2
    return NAMES[number] if near and 0 <= number < len(NAMES) - 1 else None
