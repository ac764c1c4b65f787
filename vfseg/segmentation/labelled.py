"""Labelled CTs as the network learns from them: on one grid, cut to their vertebral bodies."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine

from vfseg.data.anatomy import LabelReading, read_vertebrae
from vfseg.data.box import label_boxes, start_of, stop_of
from vfseg.data.cases import Case
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.resample import sample_linear, sample_nearest
from vfseg.data.volume import read_labels
from vfseg.errors import UserError
from vfseg.evaluation.heights import MeasuredBody, measure_bodies
from vfseg.synthesis.phantom.tissue import AIR

KEPT_MM = 1.25
"""Spacing at which cases to learn from are kept."""

_MARGIN_MM = 35.0  # around the bodies: so far a patch looks beyond them


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A labelled CT on a grid of `KEPT_MM`.

    Attributes:
        name: of the case.
        real: whether its bone is that of a real CT.
        hu: int16 `d h w`.
        labels: uint8 `d h w`, the body of each voxel; 0 where there is none.
        points: label -> [3] voxels, middle of each body that is whole.
    """

    name: str
    real: bool
    hu: np.ndarray
    labels: np.ndarray
    points: Mapping[int, np.ndarray]


def read_labelled(case: Case, *, real: bool) -> LabelledCase:
    """A case of a data set, to learn from.

    Args:
        case: with a label map.
        real: whether its bone is that of a real CT.

    Raises:
        UserError: a file cannot be read, or there is no label map; no whole body of T4 to L5.
    """
    if case.vertebrae is None:
        raise UserError(f"{case.case_id}: has no label map. Leave it out of the manifest.")
    ct, labels = read_hounsfield(case.ct), read_labels(case.vertebrae)
    reading = read_vertebrae(labels, None, case.case_id)
    array, centres = bodies_of(reading)
    if not centres:
        raise UserError(f"{case.case_id}: has no whole body. Leave it out of the manifest.")
    boxes = label_boxes(array).values()
    margin = _MARGIN_MM / ct.voxel_spacing
    first = np.maximum(np.min([start_of(box) for box in boxes], 0) - margin, 0)
    last = np.minimum(np.max([stop_of(box) for box in boxes], 0) + margin, ct.shape)
    step = KEPT_MM / ct.voxel_spacing
    shape = np.floor((last - 1 - first) / step).astype(int) + 1
    hu = sample_linear(ct.array, first, step, shape, fill=AIR)
    return LabelledCase(
        case.case_id,
        real,
        np.rint(np.clip(hu, -1024, 3071)).astype(np.int16),
        sample_nearest(array, first, step, shape),
        {number: (centre - first) / step for number, centre in centres.items()},
    )


def bodies_of(reading: LabelReading) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The bodies alone of a label map: each vertebra without what lies behind its posterior wall.

    Args:
        reading: of the map.

    Returns:
        uint8 `d h w`, 1 for the first of `reading.vertebrae` and so on, 0 where no body is; and
        that number -> [3] canonical voxel, the middle of each body. Those that cannot be measured
        are in neither.
    """
    labels = reading.labels
    array, centres = np.zeros(labels.shape, np.uint8), {}
    measured = measure_bodies(labels, reading.vertebrae)
    for number, (vertebra, body) in enumerate(zip(reading.vertebrae, measured), 1):
        if isinstance(body, MeasuredBody):
            inside = labels.array[vertebra.box] == vertebra.label
            index = np.argwhere(inside)
            places = apply_affine(labels.affine, index + start_of(vertebra.box))
            inside[tuple(index[body.relative(places)[:, 1] < 0].T)] = False
            array[vertebra.box][inside] = number
            centres[number] = vertebra.centre
    return array, centres
