"""The body of a vertebra measured in a label map."""

import numpy as np

from tests.synthesis.virtual_fractures.block import DEPTH, HEIGHT, WIDTH, neighbours
from vfseg.synthesis.virtual_fractures.body import measure_body


def test_measures_the_block(whole):
    _, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    body = measure_body(labels, vertebra, above, below)
    np.testing.assert_allclose(body.frame.axes, np.eye(3), atol=0.02)
    np.testing.assert_allclose(body.frame.centre, (70, 62, 42), atol=1)
    np.testing.assert_allclose(body.heights(), HEIGHT, atol=1.25)
    np.testing.assert_allclose((body.depth, body.width), (DEPTH, WIDTH), atol=2)
