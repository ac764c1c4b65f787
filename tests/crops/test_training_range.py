"""CTs outside the range of training are flagged in every table."""

import numpy as np
import pytest

from tests.evaluation.scene import measured, sheet
from vfseg.crops.training_range import outside_training
from vfseg.data.geometry import geometry_from
from vfseg.data.outputs import OUTSIDE_TRAINING


@pytest.mark.parametrize(
    ("spacing", "crop", "words"),
    [
        ((0.7, 0.7, 5), 1.25, "slices 5 mm apart"),
        ((5, 0.7, 0.7), 2.0, "slices 5 mm apart"),
        ((0.7, 0.7, 3), 1.25, None),
        ((1.25, 1.25, 1.25), 1.25, None),
        ((0.3, 0.3, 0.3), 1.25, None),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_slices_far_apart(spacing, crop, words, order):
    affine = np.zeros((4, 4))
    affine[[*order, 3], range(4)] = (*spacing, 1)
    assert outside_training(geometry_from((9, 9, 9), affine), crop) == words


def test_the_column_stands_in_every_row():
    """Empty for a CT within the range."""
    truth = sheet(6, 28)
    probability = np.where(truth > 0, 0.9, 0.0)
    for outside in (None, "slices 5 mm apart"):
        scores = measured(truth, probability, outside=outside)
        rows = [*scores.vertebra_rows, *scores.lesion_rows]
        assert len(rows) == 4
        assert {row[OUTSIDE_TRAINING] for row in rows} == {outside}
        assert scores.outside == outside
