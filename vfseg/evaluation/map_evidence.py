"""What the map says of a vertebra: the mean of its highest 0.5 mL, in the body and in the arch.

A fracture may be a sheet of 0.5 mL in a vertebra of 50 mL, which no percentile of the whole sees;
and the highest voxel alone is noise. Body and arch are looked at apart, since a lesion of one does
not make up for an empty other.

The volume was chosen on validation cases, phantoms and virtual fractures in real bone, by
`python -m benchmarks.studies.evidence`; docs/study.md has the table.
"""

from typing import NamedTuple

import numpy as np
from nibabel.affines import apply_affine

from vfseg.data.box import start_of
from vfseg.data.geometry import Geometry
from vfseg.evaluation.heights import MeasuredBody, Unmeasured
from vfseg.evaluation.regions import VertebraRegion

EVIDENCE_ML = 0.5


class MapEvidence(NamedTuple):
    """Evidence of a map for a fracture of one vertebra, 0..1 each.

    Attributes:
        score: the higher one of the two; of the whole region where the body is not measured.
        body, arch: None where the body is not measured, or no voxel belongs to it.
    """

    score: float
    body: float | None = None
    arch: float | None = None


def map_evidence(
    probability: np.ndarray,
    region: VertebraRegion,
    geometry: Geometry,
    body: MeasuredBody | Unmeasured,
) -> MapEvidence:
    """Evidence of the map in the region of a vertebra.

    Args:
        probability: of the map within the box of the region.
        region: see `vertebra_regions`.
        geometry: of the CT.
        body: as measured; what lies behind it is the arch.
    """
    values = probability[region.inside]
    behind = behind_body(region, geometry, body)
    if behind is None:
        return MapEvidence(highest_mean(values, region.voxel_mm3) or 0.0)
    parts = [highest_mean(values[part], region.voxel_mm3) for part in (~behind, behind)]
    return MapEvidence(max((part for part in parts if part is not None), default=0.0), *parts)


def behind_body(
    region: VertebraRegion, geometry: Geometry, body: MeasuredBody | Unmeasured
) -> np.ndarray | None:
    """Which voxels of a region lie behind its body, bool [n]; None where it is not measured."""
    if not isinstance(body, MeasuredBody):
        return None
    index = np.argwhere(region.inside) + start_of(region.box)
    return body.relative(apply_affine(geometry.affine, index))[:, 1] < 0


def highest_mean(
    values: np.ndarray, voxel_mm3: float, volume_ml: float = EVIDENCE_ML
) -> float | None:
    """Mean of the highest part of some voxels, of all where they are fewer; None of none.

    Args:
        values: [n] probabilities.
        voxel_mm3: volume of a voxel.
        volume_ml: of the part.
    """
    if not values.size:
        return None
    number = min(max(round(1000 * volume_ml / voxel_mm3), 1), values.size)
    return float(np.mean(np.partition(values, -number)[-number:], dtype=np.float64))
