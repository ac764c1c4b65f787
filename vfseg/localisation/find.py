"""Vertebrae of a CT: where they are, what they are called, and how far that is to be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from vfseg.data.geometry import Geometry
from vfseg.data.schemes import LEVELS
from vfseg.errors import UserError
from vfseg.localisation.chain import Chain, best_chain, named_from
from vfseg.localisation.coarse import SPACING_MM
from vfseg.localisation.heat import CoarseCt, see
from vfseg.localisation.levels import NAMES
from vfseg.localisation.peaks import Peaks, peaks_of

TRUSTED = 1.5
"""Peaks of a spine add up to so much at least; one vertebra alone is none."""

SECOND = 3.0
"""Peaks of another chain that add up to so much are a second spine."""

SURE = 0.9
"""Names less probable than this are called uncertain."""

METAL_HU = 2000.0
"""So bright is no bone, seen in voxels of 4 mm."""

_BESIDE_MM = 45.0  # of a spine: nothing there is another one
_METAL_MM, _METAL_VOXELS = 25.0, 3  # from the line of a spine; fewer may be a dense islet
_REMEDY = (
    "Name the vertebrae with --vertebrae, --boxes or --points; vfseg pick makes points by a few "
    "clicks."
)


@dataclass(frozen=True)
class FoundVertebra:
    """One vertebra.

    Attributes:
        level: its name.
        place: middle of its body, mm in RAS+.
        confidence: height of its peak, 0 to 1; says nothing of the name.
    """

    level: str
    place: tuple[float, float, float]
    confidence: float


@dataclass(frozen=True)
class Found:
    """A spine.

    Attributes:
        vertebrae: cranial to caudal, of all levels of `NAMES` but the sacrum.
        sacrum: whether it was seen.
        probability: of the names.
        others: other names of the lowest vertebra -> their probability, likeliest first.
    """

    vertebrae: tuple[FoundVertebra, ...]
    sacrum: bool
    probability: float
    others: dict[str, float]

    @property
    def wanted(self) -> tuple[FoundVertebra, ...]:
        """Those of T4 to L5."""
        return tuple(v for v in self.vertebrae if v.level in LEVELS)

    @property
    def points(self) -> dict[str, np.ndarray]:
        """Level -> [3] mm in RAS+, of those of T4 to L5."""
        return {v.level: np.array(v.place) for v in self.wanted}


@dataclass(frozen=True, eq=False)
class SeenSpine:
    """A spine before it is named for the user.

    Attributes:
        peaks: of the whole CT.
        chain: the best one.
        origin: [3] mm from the middle of the CT's first voxel to that from which peaks are counted.
        geometry: of the CT.
    """

    peaks: Peaks
    chain: Chain
    origin: np.ndarray
    geometry: Geometry


def find_vertebrae(ct: CoarseCt, params: Any, name: str, lowest: str | None = None) -> Found:
    """Finds the vertebrae of a CT.

    Args:
        ct: see `coarsened`.
        params: of `Localiser`, see `read_weights`.
        name: of the CT, for messages.
        lowest: level of the lowest vertebra that is found, where the user knows it.

    Raises:
        UserError: as in `see_spine` and `name_spine`.
    """
    return name_spine(see_spine(ct, params, name), name, lowest)


def see_spine(ct: CoarseCt, params: Any, name: str) -> SeenSpine:
    """Finds the spine of a CT; arguments as in `find_vertebrae`.

    Raises:
        UserError: there is none that can be trusted, there are two, or metal lies in it.
    """
    peaks = peaks_of(*see(ct, params))
    chain = best_chain(peaks)
    if chain is None or peaks.heights[chain.members].sum() < TRUSTED:
        raise UserError(f"{name}: no spine was found that can be trusted. {_REMEDY}")
    line = peaks.places[chain.members]
    metal = SPACING_MM * np.argwhere(ct.hu > METAL_HU)
    if np.count_nonzero(_away(metal, line) < _METAL_MM) >= _METAL_VOXELS:
        raise UserError(f"{name}: metal lies in the spine, which hides the bodies. {_REMEDY}")
    rest = peaks.without(_away(peaks.places, line) < _BESIDE_MM)
    second = best_chain(rest)
    if second is not None and rest.heights[second.members].sum() > SECOND:
        raise UserError(f"{name}: two spines were found, side by side. {_REMEDY}")
    return SeenSpine(peaks, chain, ct.origin, ct.geometry)


def name_spine(spine: SeenSpine, name: str, lowest: str | None) -> Found:
    """Names a spine; arguments as in `find_vertebrae`.

    Raises:
        UserError: `lowest` leaves no room for what is above.
    """
    peaks, chain = spine.peaks, spine.chain
    if lowest is not None:
        try:
            chain = named_from(chain, lowest)
        except ValueError as error:
            raise UserError(f"{name}: --lowest {lowest}: {error}. Check the name.") from error
    voxels = (peaks.places[chain.members] + spine.origin) / spine.geometry.voxel_spacing
    found = []
    for level, place, height in zip(
        chain.names, apply_affine(spine.geometry.affine, voxels), peaks.heights[chain.members]
    ):
        x, y, z = (round(float(mm), 2) for mm in place)
        found.append(FoundVertebra(level, (x, y, z), round(float(height), 3)))
    sacrum = found[-1].level == NAMES[-1]
    vertebrae = tuple(found[:-1] if sacrum else found)
    return Found(vertebrae, sacrum, chain.probability, _others(chain, sacrum))


def _away(places: np.ndarray, line: np.ndarray) -> np.ndarray:
    """How far places lie beside a line, or beyond its ends, [n] mm.

    Args:
        places: [n, 3] mm along d, h, w.
        line: [m, 3], cranial to caudal.
    """
    heights = np.clip(places[:, 0], line[-1, 0], line[0, 0])
    middle = np.stack(
        [heights, *(np.interp(heights, line[::-1, 0], line[::-1, k]) for k in (1, 2))], 1
    )
    return np.linalg.norm(places - middle, axis=1)


def _others(chain: Chain, sacrum: bool) -> dict[str, float]:
    """What the lowest vertebra would be called otherwise; a sacrum then is another vertebra."""
    last = int(chain.levels[-1]) - sacrum
    ways = sorted(chain.shifts.items(), key=lambda way: -way[1])
    return {
        NAMES[last + shift]: round(share, 3)
        for shift, share in ways
        if shift and 0 <= last + shift < len(NAMES)
    }
