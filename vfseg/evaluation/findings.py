"""The two lists of a predicted CT for which there is no truth."""

from typing import Any, NamedTuple

import numpy as np

from vfseg.data.box import part_of
from vfseg.data.probability import reaches
from vfseg.evaluation.heights import measure_spine
from vfseg.evaluation.lesions import Detections, components
from vfseg.evaluation.lists import lesion_rows, vertebra_rows
from vfseg.evaluation.regions import vertebra_regions
from vfseg.evaluation.vertebrae import vertebra_score
from vfseg.inference.case import Prediction


class Findings(NamedTuple):
    """What a map says of a case.

    Attributes:
        vertebrae: rows of `vertebrae.csv`, cranial to caudal.
        lesions: rows of `lesions.csv`, the most probable first.
    """

    vertebrae: list[dict[str, Any]]
    lesions: list[dict[str, Any]]


def list_findings(
    case_id: str, found: Prediction, threshold: float, vertebra_threshold: float
) -> Findings:
    """Lists vertebrae and lesions of a prediction; only the box of the map is held in memory.

    Args:
        case_id: for the rows.
        found: from `predict_case`.
        threshold: of the map.
        vertebra_threshold: of the score of a vertebra.
    """
    ct, spine, box = found.ct, found.spine, found.probability.box
    probability = found.probability[box]
    scores = {
        region.vertebra.level: vertebra_score(part_of(probability, box, region.box)[region.inside])
        for region in vertebra_regions(spine, ct.geometry)
    }
    mask = reaches(probability, threshold) & (probability > 0)  # 0 outside every crop
    lesions = Detections(
        box=box,
        probability=probability,
        mask=mask,
        components=components(mask, float(np.prod(ct.voxel_spacing))),
        uncertainty=None if found.uncertainty is None else found.uncertainty[box],
    )
    measured = measure_spine(spine)
    return Findings(
        vertebra_rows(case_id, measured, scores, vertebra_threshold, outside=found.outside),
        lesion_rows(case_id, lesions, measured, ct.geometry, found.outside),
    )
