"""The two lists of a predicted CT for which there is no truth."""

from typing import Any, NamedTuple

import numpy as np

from vfseg.data.box import part_of
from vfseg.data.probability import reaches
from vfseg.evaluation.heights import measure_spine
from vfseg.evaluation.lesions import Detections, components, outside_of_large
from vfseg.evaluation.lists import lesion_rows, vertebra_rows
from vfseg.evaluation.map_evidence import MapEvidence, map_evidence
from vfseg.evaluation.regions import vertebra_regions
from vfseg.inference.case import Prediction
from vfseg.inference.thresholds import Thresholds

LISTED_ML = 0.1
"""A lesion is listed from this volume on; what is smaller is a speck, and counts for its vertebra
alone. The list of an evaluation goes down to `LESION_MM3`: it has what average precision and FROC
count, and whether each was a hit; the pages of its cases list as a prediction does."""


class Findings(NamedTuple):
    """What a map says of a case.

    Attributes:
        vertebrae: rows of `vertebrae.csv`, cranial to caudal. `map_ml` is the volume that the mask
            has in the region of a vertebra, `specks_ml` what of it is in no listed lesion.
        lesions: rows of `lesions.csv`, see `lesion_rows`; numbered from 1 in this order.
        numbers: the lesions in the box of the map, uint16 `d h w`; 0 is none.
    """

    vertebrae: list[dict[str, Any]]
    lesions: list[dict[str, Any]]
    numbers: np.ndarray


def list_findings(case_id: str, found: Prediction, thresholds: Thresholds) -> Findings:
    """Lists vertebrae and lesions of a prediction; only the box of the map is held in memory.

    Args:
        case_id: for the rows.
        found: from `predict_case`.
        thresholds: of the model.
    """
    ct, spine, box = found.ct, found.spine, found.probability.box
    probability, voxel_mm3 = found.probability[box], float(np.prod(ct.voxel_spacing))
    mask = reaches(probability, thresholds.fused) & (probability > 0)  # 0 outside every crop
    detected = Detections(
        box=box,
        probability=probability,
        mask=mask,
        components=components(mask, voxel_mm3, 1000 * LISTED_ML),
        uncertainty=None if found.uncertainty is None else found.uncertainty[box],
    )
    specks = outside_of_large(mask, detected.components, voxel_mm3, 1000 * LISTED_ML)
    measured = measure_spine(spine)
    bodies = {body.level: body for body in measured.bodies}
    scores: dict[str, MapEvidence] = {}
    volumes: dict[str, dict[str, float]] = {}
    for region in vertebra_regions(spine, ct.geometry):
        level = region.vertebra.level
        shown, positive, small = (
            part_of(part, box, region.box) for part in (probability, mask, specks)
        )
        scores[level] = map_evidence(shown, region, ct.geometry, bodies[level])
        voxels = {
            "map_ml": np.count_nonzero(positive[region.inside]),
            "specks_ml": np.count_nonzero(small[region.inside]),
        }
        volumes[level] = {name: count * voxel_mm3 / 1000 for name, count in voxels.items()}
    rows = vertebra_rows(case_id, measured, scores, thresholds, outside=found.outside)
    lesions = lesion_rows(case_id, detected, measured, ct.geometry, found.outside)
    number = np.zeros(len(lesions) + 1, np.uint16)
    for place, row in enumerate(lesions, 1):
        number[row["lesion"]] = place
        row["lesion"] = place
    return Findings(
        [row | volumes[row["level"]] for row in rows], lesions, number[detected.components]
    )
