"""The two lists of a predicted CT for which there is no truth."""

from typing import Any, NamedTuple

import numpy as np

from vfseg.data.box import part_of
from vfseg.data.probability import reaches
from vfseg.evaluation.lesions import components
from vfseg.evaluation.lists import bodies_of, lesion_rows, vertebra_rows
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
    labels = None if spine.labels is None else spine.labels.array
    regions = vertebra_regions(spine.vertebrae, labels, spine.ids, ct.shape, ct.voxel_spacing)
    scores = {
        region.vertebra.level: vertebra_score(part_of(probability, box, region.box)[region.inside])
        for region in regions
    }
    mask = reaches(probability, threshold) & (probability > 0)
    uncertainty = None if found.uncertainty is None else found.uncertainty[box]
    lesions = components(mask, float(np.prod(ct.voxel_spacing)))
    bodies = bodies_of(spine.labels, spine.vertebrae)
    return Findings(
        vertebra_rows(
            case_id, spine.labels, spine.vertebrae, scores, vertebra_threshold, bodies=bodies
        ),
        lesion_rows(
            case_id,
            probability,
            lesions,
            spine.labels,
            spine.vertebrae,
            ct.geometry,
            uncertainty,
            start=[side.start for side in box],
            bodies=bodies,
        ),
    )
