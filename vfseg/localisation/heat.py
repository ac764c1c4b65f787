"""The network over a whole CT: bounded memory, few shapes to compile."""

from typing import Any

import jax
import numpy as np

from vfseg.data.box import Box, bounding_box, grown, is_empty, start_of, whole
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


def see(ct: Volume, params: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network says of a CT.

    Args:
        ct: HU.
        params: of `Localiser`.

    Returns:
        Logits of the heat map, `d h w`, and of the levels, `d/2 h/2 w/2 classes`, on a grid of
        `SPACING_MM` along the axes of the CT; and [3] mm from the middle of the CT's first voxel to
        that of the grid's.
    """
    hu = coarse(ct.array, ct.voxel_spacing, SPACING_MM)
    around = _around(hu)
    hu = hu[around]
    d, h, w = (-(-n // _MULTIPLE) * _MULTIPLE for n in hu.shape)
    hu = np.pad(
        hu, [(0, n - m) for n, m in zip((d, h, w), hu.shape)], constant_values=np.float32(AIR)
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
    return np.concatenate(heats), np.concatenate(levels), np.multiply(start_of(around), SPACING_MM)


def _around(hu: np.ndarray) -> Box:
    """What is not air, with a margin; all where everything is air."""
    tissue = bounding_box(hu > _TISSUE_HU)
    if is_empty(tissue):
        return whole(hu.shape)
    return grown(tissue, (_MARGIN,) * 3, hu.shape)
