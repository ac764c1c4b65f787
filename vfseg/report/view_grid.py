"""What the viewer of a page shows: volumes cut to the spine, on one grid, in 256 steps."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

from vfseg.data.box import Box, bounding_box, box_between, grown, shape_of, start_of, whole
from vfseg.data.resample import resampled_affine, sample_linear, sample_nearest
from vfseg.data.volume import Volume
from vfseg.inference.boxed_map import ProbabilityMap
from vfseg.report.scene import Scene

VIEW_MARGIN_MM = 25.0
"""How far around the vertebrae the viewer shows the CT."""
HU_STEP = 10.0
LOWEST_HU = -1000.0
_LABEL = 1002  # of NIfTI
_PLANES = 64
_MOST_VOXELS = 8_000_000  # a page of about 10 MB where the noise of the CT is high


@dataclass(frozen=True, eq=False)
class ViewGrid:
    """Where the volumes of the viewer lie: the CT's own grid, or a coarser one of a large CT.

    Attributes:
        shape: (d, h, w).
        origin: first voxel, in voxels of the CT.
        step: voxels of the CT from one voxel to the next, at least 1.
        affine: [4, 4], index (d, h, w) -> RAS+ mm.
    """

    shape: tuple[int, int, int]
    origin: np.ndarray
    step: np.ndarray
    affine: np.ndarray

    def index_of(self, point: Sequence[float] | np.ndarray) -> np.ndarray:
        """Where a voxel (d, h, w) of the CT lies on this grid, [3]."""
        return (np.asarray(point) - self.origin) / self.step


@dataclass(frozen=True, eq=False)
class ViewVolumes:
    """The volumes, uint8 `d h w` on one grid.

    Attributes:
        grid: their own.
        ct: HU are -1000 + 10 x code, what lies beyond is cut off.
        probability: 255 is 1.
        uncertainty: of the map, 255 is `most_uncertain`; None where there is none.
        truth: 1 in the voxels around it, which outline it; None where it is not known.
        most_uncertain: the highest uncertainty.
    """

    grid: ViewGrid
    ct: np.ndarray
    probability: np.ndarray
    uncertainty: np.ndarray | None
    truth: np.ndarray | None
    most_uncertain: float


def view_volumes(scene: Scene) -> ViewVolumes:
    """Cuts the volumes of a case to its spine, and coarsens them where they are large."""
    grid, most = grid_of(scene.ct, _spine_box(scene)), 0.0
    uncertainty, truth = None, None
    if scene.uncertainty is not None:
        most = max(float(plane.max()) for plane in scene.uncertainty) or 1.0
        uncertainty = _codes(scene.uncertainty, grid, first=0.0, step=most / 255)
    if scene.reference is not None:
        inside = sample_nearest(scene.reference.instances, grid.origin, grid.step, grid.shape) > 0
        # Around it, not on it: a fracture is thin, and what the map says of it lies there.
        truth = (ndimage.binary_dilation(inside) & ~inside).astype(np.uint8)
    return ViewVolumes(
        grid,
        ct=ct_codes(scene.ct, grid),
        probability=_codes(scene.probability, grid, first=0.0, step=1 / 255),
        uncertainty=uncertainty,
        truth=truth,
        most_uncertain=most,
    )


def packed(
    array: np.ndarray,
    grid: ViewGrid,
    slope: float = 1.0,
    first: float = 0.0,
    *,
    labels: bool = False,
) -> bytes:
    """A volume of the viewer as a compressed NIfTI file; equal volumes, equal bytes.

    Its axes are w, h, d: the order in which a viewer of NIfTI keeps voxels, and which it need not
    turn. Behind the header stand the bytes of the array as they are.

    Args:
        array: uint8 `d h w` on the grid.
        grid: its own.
        slope: value of one code.
        first: value of code 0.
        labels: whether the values are names, which a viewer does not mix.
    """
    image = nib.Nifti1Image(array.T, grid.affine[:, [2, 1, 0, 3]])
    image.header.set_xyzt_units("mm")
    image.header["scl_slope"], image.header["scl_inter"] = slope, first
    # With a range in the header a viewer need not look for one.
    image.header["cal_min"], image.header["cal_max"] = first, first + 255 * slope
    image.header["intent_code"] = _LABEL if labels else 0
    return compressed(image.to_bytes())


def compressed(content: bytes) -> bytes:
    """Gzip without a time; equal contents, equal bytes."""
    return gzip.compress(content, 6, mtime=0)


def grid_of(ct: Volume, box: Box) -> ViewGrid:
    """A grid for a part of a CT, as fine as the CT where that is not too much for a page."""
    spacing = ct.voxel_spacing
    size = np.array(shape_of(box))
    coarsest = float(np.cbrt(np.prod(size * spacing) / _MOST_VOXELS))
    step = np.maximum(1.0, coarsest / spacing)
    depth, height, width = (int(n) for n in np.ceil(size / step - 1e-9))
    origin = np.array(start_of(box), float)
    affine = resampled_affine(ct.affine, origin, step)
    return ViewGrid((depth, height, width), origin, step, affine)


def _spine_box(scene: Scene) -> Box:
    """The vertebrae with a margin; without vertebrae what the map shows, or else the whole CT."""
    vertebrae, shape = scene.spine.vertebrae, scene.ct.shape
    if vertebrae:
        start = np.min([v.start for v in vertebrae], axis=0)
        box = box_between(start, np.max([v.stop for v in vertebrae], axis=0))
    else:
        seen = [bounding_box(plane[None] > 0) for plane in scene.probability]
        rows = [d for d, own in enumerate(seen) if own[0].stop]
        if not rows:
            return whole(shape)
        own = [seen[d] for d in rows]
        box = box_between(
            (rows[0], min(b[1].start for b in own), min(b[2].start for b in own)),
            (rows[-1] + 1, max(b[1].stop for b in own), max(b[2].stop for b in own)),
        )
    margin = np.ceil(VIEW_MARGIN_MM / scene.ct.voxel_spacing).astype(int)
    return grown(box, margin.tolist(), shape)


def ct_codes(ct: Volume, grid: ViewGrid) -> np.ndarray:
    """The CT on the grid, uint8; see `ViewVolumes`."""
    return _codes(ct.array, grid, first=LOWEST_HU, step=HU_STEP)


def _codes(array: ProbabilityMap, grid: ViewGrid, *, first: float, step: float) -> np.ndarray:
    """The values on the grid as uint8, code 0 for `first`; a few planes at a time are floats."""
    codes = np.empty(grid.shape, np.uint8)
    for start in range(0, grid.shape[0], _PLANES):
        part = codes[start : start + _PLANES]
        origin = grid.origin + grid.step * (start, 0, 0)
        values = sample_linear(array, origin, grid.step, part.shape, fill=first)
        part[:] = np.rint((values - first) / step).clip(0, 255)
    return codes
