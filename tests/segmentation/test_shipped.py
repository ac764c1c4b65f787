"""The weights of the package, on a phantom that they never saw."""

import numpy as np
import pytest

from tests.synthesis.made import make_case
from vfseg.data.anatomy import read_vertebrae
from vfseg.evaluation.heights import MeasuredBody, measure_bodies
from vfseg.segmentation.labelled import bodies_of
from vfseg.segmentation.segment import label_vertebrae
from vfseg.segmentation.weights import SHIPPED, read_weights


@pytest.fixture(scope="module")
def outlined():
    """Dice of each body with the drawn one, and how its heights differ, mm."""
    case = make_case(9001, {"levels": ("T11", "L3")})
    reading = read_vertebrae(case.vertebrae, "verse", "phantom")
    drawn, centres = bodies_of(reading)
    points = {reading.vertebrae[n - 1].label: centre for n, centre in centres.items()}
    labels, box = label_vertebrae(case.ct, points, read_weights())
    whole = case.vertebrae.array.astype(np.uint16) * 0
    whole[box] = labels
    found = read_vertebrae(
        type(case.vertebrae)(whole, case.vertebrae.geometry), "verse", "outlines"
    )
    dice = {}
    for number in centres:
        one, other = drawn == number, whole == reading.vertebrae[number - 1].label
        dice[reading.vertebrae[number - 1].level] = (
            2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
        )
    heights = [
        {b.level: b.heights for b in measure_bodies(spine.labels, spine.vertebrae)
         if isinstance(b, MeasuredBody)}
        for spine in (reading, found)
    ]  # fmt: skip
    return dice, {k: np.abs(heights[0][k] - heights[1][k]).max() for k in heights[0]}


def test_bodies_are_outlined(outlined):
    dice, heights = outlined
    assert len(dice) >= 4
    assert min(dice.values()) > 0.8
    assert np.median(list(heights.values())) < 3.0


def test_the_weights_are_small():
    assert SHIPPED.stat().st_size < 15e6
