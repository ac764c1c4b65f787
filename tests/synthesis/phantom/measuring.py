"""Settings of small cases, and measures on their voxels."""

import numpy as np
from scipy import ndimage

from vfseg.synthesis.phantom.fractures import SITES

LUMBAR = {"levels": ("T12", "L5"), "levels_per_case": (6, 6)}
THREE = {"levels": ("L1", "L3"), "levels_per_case": (3, 3)}


def heights(case, fact) -> dict[str, float]:
    """Heights (mm) of the label along the body's axis, at the front, middle and back."""
    mask = (case.vertebrae.array == fact.label).astype(np.float32)
    step = 0.1
    up = np.arange(-fact.size.height / 2 - 4, fact.size.height / 2 + 4, step)
    result = {}
    for name, share in SITES.items():
        lines = []
        for side in np.linspace(-0.2, 0.2, 7):
            front, right = share * fact.size.depth / 2, side * fact.size.width / 2
            line = np.stack([up, np.full_like(up, front), np.full_like(up, right)], -1)
            voxels = fact.frame.to_patient(line) / case.ct.voxel_spacing
            inside = ndimage.map_coordinates(mask, voxels.T, order=1) >= 0.5
            lines.append(inside.sum() * step)
        result[name] = float(np.mean(lines))
    return result


def local_frame(case, fact):
    """Coordinates (up, front, right) in mm of all voxels around the body, of the case's grid."""
    grids = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(case.ct.shape, case.ct.voxel_spacing)), indexing="ij"
    )
    return np.moveaxis((np.stack(grids, -1) - fact.frame.centre) @ fact.frame.axes.T, -1, 0)
