"""Outlines around the middles of labelled bodies, beside the label map."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vfseg.data.anatomy import read_vertebrae
from vfseg.data.cases import Case
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.schemes import VERSE_LABELS
from vfseg.data.volume import Volume, read_labels
from vfseg.errors import UserError
from vfseg.evaluation.genant import height_losses
from vfseg.evaluation.heights import MeasuredBody, measure_bodies
from vfseg.segmentation.labelled import bodies_of
from vfseg.segmentation.segment import label_vertebrae


class OutlineScore(NamedTuple):
    """One vertebra.

    Attributes:
        level: its name.
        dice: of its outlined body with that of the label map.
        heights: largest difference between the heights by both, mm; None where one has none.
        loss: difference of the largest losses of height by both, as a fraction; None as before.
    """

    level: str
    dice: float
    heights: float | None
    loss: float | None


def score(case: Case, params: Any, astray_mm: float, seed: int = 0) -> Sequence[OutlineScore]:
    """Scores the whole vertebrae of T4 to L5 of a case.

    Args:
        case: with a label map.
        params: of the segmenter.
        astray_mm: SD along each axis by which the points lie off the middles of the bodies.
        seed: of where they lie.
    """
    if case.vertebrae is None:
        raise UserError(f"{case.case_id}: has no label map. Leave it out of the manifest.")
    ct, labels = read_hounsfield(case.ct), read_labels(case.vertebrae)
    true = read_vertebrae(labels, None, case.case_id)
    labelled, centres = bodies_of(true)
    rng = np.random.default_rng(seed)
    points = {
        VERSE_LABELS[true.vertebrae[number - 1].level]: centre
        + rng.normal(0, astray_mm, 3) / ct.voxel_spacing
        for number, centre in centres.items()
    }
    outlined, box = label_vertebrae(ct, points, params)
    whole = np.zeros(ct.shape, np.uint16)
    whole[box] = outlined
    found = read_vertebrae(Volume(whole, ct.geometry), "verse", case.case_id)
    bodies = [
        {
            body.level: body
            for body in measure_bodies(spine.labels, spine.vertebrae)
            if isinstance(body, MeasuredBody)
        }
        for spine in (true, found)
    ]
    losses = [height_losses(list(some.values())) for some in bodies]
    scores = []
    for number in centres:
        v = true.vertebrae[number - 1]
        one, other = labelled == number, whole == VERSE_LABELS[v.level]
        dice = 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
        heights = loss = None
        if all(v.level in some for some in bodies):
            heights = float(np.abs(bodies[0][v.level].heights - bodies[1][v.level].heights).max())
        if all(v.level in some for some in losses):
            worst = [float(np.nanmax(some[v.level].loss)) for some in losses]
            loss = worst[1] - worst[0]
        scores.append(OutlineScore(v.level, float(dice), heights, loss))
    return scores
