"""A canvas around the body of a real vertebra: HU and labels change, the noise stays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vfseg.synthesis.phantom.lookalikes import LookAlikes
from vfseg.synthesis.phantom.shapes import Local, Rod, coverage
from vfseg.synthesis.virtual_fractures.body import STEP_MM, voxel_grid
from vfseg.synthesis.virtual_fractures.render import disc_hu
from vfseg.synthesis.virtual_fractures.site import LabelledCT, Site, box_around, pasted

_CORTEX_HU, _AIR_HU = 650.0, -1000
_GAP_MM = 8.0  # of a disc whose other end is not seen


@dataclass(frozen=True, eq=False)
class Canvas:
    """The box around a body while a look-alike is painted into it.

    Attributes:
        site: the vertebra.
        local: coordinates of the voxels in the frame of the body, mm.
        hu: smoothed HU, float32 `d h w`, changed in place.
        labels: label map, changed in place.
        top, bottom: heights of the endplates over every voxel, mm.
        body: how much of a voxel is body, without the arch, 0..1.
        free: bool, voxels of no vertebra.
        spacing: [3] mm.
        disc: HU of the disc above.
    """

    site: Site
    local: Local
    hu: np.ndarray
    labels: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    body: np.ndarray
    free: np.ndarray
    spacing: np.ndarray
    disc: float

    def paint_inside(self, extras: LookAlikes) -> None:
        """Paints what the phantoms have inside their bodies."""
        painted, up = self.hu.copy(), self.local[0]
        extras.paint(painted, self.local, self.top - up, up - self.bottom, self.site.width)
        self.pull(painted, self.body)

    def pull(self, value: np.ndarray | float, weight: np.ndarray) -> None:
        """Draws the HU towards a value, by a weight of 0..1."""
        self.hu[...] += weight * (value - self.hu)

    def canal(self, rod: Rod, value: float, weight: np.ndarray) -> None:
        """A rod of another HU, darker or brighter than what is there; never the reverse."""
        cover = coverage(rod.distance(self.local), self.site.width) * weight
        self.pull(value, cover)

    def bone(self, rod: Rod) -> np.ndarray:
        """A rod of bone with a cortex where no vertebra is; bool, the voxels that are bone now."""
        distance, width = rod.distance(self.local), self.site.width
        cover = coverage(distance, width) * self.free
        core = coverage(distance + 1.2, width)
        self.pull(_CORTEX_HU + core * (self.site.trabecular + 100 - _CORTEX_HU), cover)
        return cover >= 0.5

    def rim(self, side: int, angle: float) -> tuple[float, float, float]:
        """(up, front, right) of the rim of an endplate, at an angle from the front to the right."""
        body = self.site.body
        way = np.linspace(0.3, 1.4, 45)
        front = way * np.cos(angle) * body.depth / 2
        right = way * np.sin(angle) * body.width / 2
        columns = tuple(
            np.clip(np.rint((places - axis[0]) / STEP_MM).astype(int), 0, len(axis) - 1)
            for places, axis in ((front, body.front), (right, body.right))
        )
        last = int(np.flatnonzero(body.outline[columns])[-1:].sum())
        plate = body.top if side > 0 else body.bottom
        height = float(plate[columns[0][last], columns[1][last]])
        return height, float(front[last]), float(right[last])

    def gap(self, front: float, right: float) -> float:
        """Height of the disc above, near a column, mm."""
        body, around = self.site.body, self.site.around
        near = (np.abs(body.front - front)[:, None] < 4) & (np.abs(body.right - right) < 4)
        found = np.where(around.others & (around.up > 0)[:, None, None],
                         around.up[:, None, None], np.inf).min(axis=0) - body.top  # fmt: skip
        found = found[near & np.isfinite(found)]
        return float(np.clip(np.median(found), 1, 14)) if found.size else _GAP_MM


def painted_on(
    scan: LabelledCT,
    site: Site,
    paint: Callable[[np.random.Generator, Canvas], None],
    rng: np.random.Generator,
) -> LabelledCT:
    """The scan after `paint` has changed the canvas around a vertebra with its random numbers."""
    ct, body = scan.ct, site.body
    box = box_around(ct, site)
    local = voxel_grid(ct).local(box, body.frame)
    old, labels = ct.array[box], scan.labels.array[box].copy()
    others = np.isin(labels, site.others)
    own = labels == site.vertebra.label
    index = [(local[1] - body.front[0]) / STEP_MM, (local[2] - body.right[0]) / STEP_MM]
    top, bottom = (
        ndimage.map_coordinates(plate.astype(np.float32), index, order=1, mode="nearest")
        for plate in (body.top, body.bottom)
    )
    inner = np.clip(2 * ndimage.gaussian_filter(own.astype(np.float32), 0.4) - 0.4, 0, 1)
    level = ndimage.gaussian_filter(old.astype(np.float32), 1.0)
    canvas = Canvas(
        site=site,
        local=local,
        hu=level.copy(),
        labels=labels,
        top=top,
        bottom=bottom,
        body=inner * (local[1] > -body.depth / 2) * ~others,
        free=~own & ~others,
        spacing=ct.voxel_spacing,
        disc=disc_hu(old, ~own & ~others, local, body),
    )
    paint(rng, canvas)
    low, high = min(int(ct.array.min()), _AIR_HU), int(ct.array.max())
    painted = np.clip(np.rint(old + canvas.hu - level), low, high)
    result = np.where(others | (canvas.hu == level), old, painted).astype(np.int16)
    return pasted(scan, box, result, canvas.labels, None)
