"""Which voxels count for which vertebra: its mask grown by 2 mm, or its box without a mask."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM, nearer_within
from vfseg.data.box import Box, box_between
from vfseg.data.geometry import Geometry
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine


class VertebraRegion(NamedTuple):
    """The voxels of one vertebra.

    Attributes:
        vertebra: whose they are.
        box: of the CT.
        inside: bool, of the shape of the box.
        voxel_mm3: volume of a voxel.
        measured_in: "mask", or "box" where only that is known.
    """

    vertebra: Vertebra
    box: Box
    inside: np.ndarray
    voxel_mm3: float
    measured_in: str = "mask"


def vertebra_regions(spine: Spine, geometry: Geometry) -> Iterator[VertebraRegion]:
    """The region of each vertebra, one at a time: only its own box is held in memory.

    A voxel belongs to a vertebra within 2 mm of its mask that is nearer than every other part of
    the spine (ties: to both), so a fracture of the neighbour is not counted twice. Where only boxes
    are known, the whole box is the region, and neighbours overlap in it.

    Args:
        spine: of the case.
        geometry: of its CT.
    """
    spacing = geometry.voxel_spacing
    voxel_mm3 = float(np.prod(spacing))
    for vertebra in spine.vertebrae:
        if spine.labels is None:
            start, stop = np.maximum(vertebra.start, 0), np.minimum(vertebra.stop, geometry.shape)
            inside = np.ones((stop - start).tolist(), bool)
            yield VertebraRegion(vertebra, box_between(start, stop), inside, voxel_mm3, "box")
            continue
        # The other parts within reach of the margin lie within two margins of the vertebra.
        reach = np.ceil(2 * ATTRIBUTION_MARGIN_MM / spacing).astype(int)
        start = np.maximum(np.asarray(vertebra.start) - reach, 0)
        stop = np.minimum(np.asarray(vertebra.stop) + reach, geometry.shape)
        box = box_between(start, stop)
        ids = spine.labels.array[box]
        others = np.isin(ids, [label for label in spine.ids if label != vertebra.label])
        inside = nearer_within(ids == vertebra.label, others, ATTRIBUTION_MARGIN_MM, spacing)
        yield VertebraRegion(vertebra, box, inside, voxel_mm3)
