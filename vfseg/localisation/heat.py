"""The network over a whole CT: bounded memory, few shapes to compile."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from vfseg.data.box import Box, bounding_box, grown, is_empty, start_of, whole
from vfseg.data.geometry import Geometry
from vfseg.data.volume import Volume
from vfseg.localisation.coarse import CELL, SPACING_MM, coarse
from vfseg.localisation.network import DEEPEST, Localiser, windowed
from vfseg.synthesis.phantom.tissue import AIR

_TISSUE_HU = -500.0
_MARGIN = 4  # voxels around what is not air
_MULTIPLE = 4 * CELL * DEEPEST  # voxels; CTs of about one size share a compiled program
_SLAB, _OVERLAP = 256, 48  # voxels along d; the network sees about 40 to each side


@jax.jit
def _run(params: Any, hu: jax.Array):
    return Localiser().apply({"params": params}, windowed(hu[None]))


@dataclass(frozen=True, eq=False)
class CoarseCt:
    """A CT as the network looks at it: small, so that the CT itself need not be kept meanwhile.

    Attributes:
        hu: float32 `d h w`, voxels of `SPACING_MM`, what is not air with a margin.
        origin: [3] mm from the middle of the CT's first voxel to that of the first one here.
        geometry: of the CT.
    """

    hu: np.ndarray
    origin: np.ndarray
    geometry: Geometry


def coarsened(ct: Volume) -> CoarseCt:
    """A CT in HU on the coarse grid, cut to the patient."""
    hu = coarse(ct.array, ct.voxel_spacing, SPACING_MM)
    around = _around(hu)
    origin = np.multiply(start_of(around), SPACING_MM)
    return CoarseCt(hu[around].copy(), origin, ct.geometry)


def see(ct: CoarseCt, params: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the network says of a CT.

    Args:
        ct: as it is looked at.
        params: of `Localiser`.

    Returns:
        Logits of the heat map, `d h w`, and of the levels, `d/2 h/2 w/2 classes`, on the grid of
        the coarse CT and beyond its far ends.
    """
    d, h, w = (-(-n // _MULTIPLE) * _MULTIPLE for n in ct.hu.shape)
    hu = np.pad(
        ct.hu, [(0, n - m) for n, m in zip((d, h, w), ct.hu.shape)], constant_values=np.float32(AIR)
    )
    heats, levels = [], []
    first = 0
    while True:
        start = max(first - _OVERLAP, 0)
        stop = min(start + _SLAB, d)
        last = d if stop == d else stop - _OVERLAP
        heat, level = jax.device_get(_run(params, hu[start:stop]))
        heats.append(heat[0, first - start : last - start])
        levels.append(level[0, (first - start) // CELL : (last - start) // CELL])
        if last == d:
            break
        first = last
    return np.concatenate(heats), np.concatenate(levels)


def _around(hu: np.ndarray) -> Box:
    """What is not air, with a margin; all where everything is air."""
    tissue = bounding_box(hu > _TISSUE_HU)
    if is_empty(tissue):
        return whole(hu.shape)
    return grown(tissue, (_MARGIN,) * 3, hu.shape)
