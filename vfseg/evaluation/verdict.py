"""The lists of one CT of a user: what `--mode predict` says of vertebrae and lesions."""

from typing import Any

import numpy as np

from vfseg.data.boxed_map import BoxedMap
from vfseg.data.prepare import Spine
from vfseg.data.volume import Geometry
from vfseg.evaluation.case_scores import predicted_mask
from vfseg.evaluation.lesions import components
from vfseg.evaluation.lists import lesion_rows, vertebra_rows
from vfseg.evaluation.regions import vertebra_regions
from vfseg.evaluation.vertebrae import vertebra_score


def list_case(
    case_id: str,
    spine: Spine,
    geometry: Geometry,
    probability: BoxedMap,
    threshold: float,
    vertebra_threshold: float,
    uncertainty: BoxedMap | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `vertebrae.csv` and `lesions.csv`, by the code that evaluates (see `lists`).

    Args:
        case_id: name of the case.
        spine: its vertebrae.
        geometry: of the CT.
        probability: fused map, 0 outside every crop.
        threshold: of the map, above 0.
        vertebra_threshold: of the score of a vertebra.
        uncertainty: spread of the predictions; None where there is one view.
    """
    labels = None if spine.labels is None else spine.labels.array
    scores = {
        region.vertebra.level: vertebra_score(probability[region.box][region.inside])
        for region in vertebra_regions(
            spine.vertebrae, labels, spine.ids, geometry.shape, geometry.voxel_spacing
        )
    }
    values = probability[probability.box]
    mask = predicted_mask(values, values > 0, threshold)
    lesions = lesion_rows(
        case_id,
        values,
        components(mask, float(np.prod(geometry.voxel_spacing))),
        spine.labels,
        spine.vertebrae,
        geometry,
        None if uncertainty is None else uncertainty[probability.box],
        start=[side.start for side in probability.box],
    )
    vertebrae = vertebra_rows(
        case_id, spine.labels, spine.vertebrae, scores, vertebra_threshold, None
    )
    return vertebrae, lesions
