"""The body of a vertebra measured in a label map."""

from dataclasses import replace

import numpy as np
import pytest

from tests.synthesis.virtual_fractures.block import DEPTH, HEIGHT, WIDTH, measure, neighbours
from vfseg.synthesis.phantom.spine import usual_size
from vfseg.synthesis.virtual_fractures.body import measure_body, size_of


def test_measures_the_block(whole):
    _, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    body = measure_body(labels, vertebra, above, below)
    np.testing.assert_allclose(body.frame.axes, np.eye(3), atol=0.02)
    np.testing.assert_allclose(body.frame.centre, (70, 62, 42), atol=1)
    np.testing.assert_allclose(body.heights(), HEIGHT, atol=1.25)
    np.testing.assert_allclose((body.depth, body.width), (DEPTH, WIDTH), atol=2)


def test_the_size_of_a_body_is_that_of_its_endplates(whole):
    """The top rises by 0.1 mm each mm to the back, and is 2 mm lower in the middle.

    Sites lie at 0.7 of half the depth: between front and back there are 0.7 depths, so the angle is
    arctan 0.1; half of the hollow belongs to each endplate.
    """
    body = measure(whole)
    front = body.front[:, None] + 0 * body.right
    hollow = 2.0 * (np.abs(front) < 0.2 * body.depth)
    flat = np.full_like(front, HEIGHT / 2)
    tilted = replace(body, top=flat - 0.1 * front - hollow, bottom=-flat)
    size = size_of("L3", tilted)
    assert size.height == pytest.approx(HEIGHT, abs=0.1)
    assert size.wedge == pytest.approx(np.degrees(np.arctan(0.1)), abs=0.4)
    assert size.concavity == pytest.approx((1.0, 1.0), abs=0.1)
    usual = usual_size("L3")
    assert replace(
        size, height=usual.height, depth=usual.depth, width=usual.width,
        wedge=usual.wedge, concavity=usual.concavity,
    ) == usual  # fmt: skip
    assert (size.depth, size.width) == (body.depth, body.width)
