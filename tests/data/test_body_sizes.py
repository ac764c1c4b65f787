"""Sizes of the usual bodies."""

import numpy as np

from vfseg.data.body_sizes import BODY_MM
from vfseg.data.schemes import LEVELS
from vfseg.synthesis.phantom.spine import SPINE, usual_size


def test_every_level_has_a_size_and_they_grow_downwards():
    assert tuple(BODY_MM)[1:-1] == LEVELS
    sizes = np.array([BODY_MM[level] for level in LEVELS])
    assert (np.diff(sizes, axis=0) >= 0).all()
    # Of the sources named there: 18 mm at T4, 24 at T12; of the lumbar spine 20 to 30 mm high, 30
    # to 35 deep, 40 to 50 wide.
    assert (BODY_MM["T4"][0], BODY_MM["T12"][0]) == (18, 24)
    low, high = np.array([(20, 30, 40), (30, 35, 50)])
    assert ((sizes[-5:] >= low) & (sizes[-5:] <= high)).all()


def test_phantoms_are_of_these_sizes():
    for level in SPINE:
        size = usual_size(level)
        assert (size.height, size.depth, size.width) == BODY_MM[level]
