"""The map by which a body collapses."""

import numpy as np
import pytest
from scipy import ndimage

from tests.synthesis.virtual_fractures.block import SPECS, neighbours
from vfseg.synthesis.virtual_fractures.body import look_around, measure_body, size_of
from vfseg.synthesis.virtual_fractures.collapse import collapse
from vfseg.synthesis.virtual_fractures.fracture import draw_in_body


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.height_loss}-{s.endplates}")
@pytest.mark.parametrize("seed", range(2))
def test_never_folds(whole, spec, seed):
    """Determinant of the backward map by finite differences, at voxels and between them."""
    _, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    body = measure_body(labels, vertebra, above, below)
    fracture = draw_in_body(np.random.default_rng(seed), spec, size_of("L3", body), 100.0, 1.0)
    around = look_around(labels, reading.spine_ids, vertebra.label, body)
    fallen = collapse(body, fracture, around, 1.5)
    step = 0.8
    axes = [np.arange(low, high, step) for low, high in ((-30, 70), (-35, 40), (-30, 30))]
    local = tuple(np.meshgrid(*axes, indexing="ij"))
    rise, forth, opened = fallen.backward(local, 1.0)
    source = np.stack([local[0] + rise, local[1] + forth, local[2]])
    gradient = np.stack([np.gradient(s, step, axis=(0, 1, 2)) for s in source])
    determinant = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)))
    # Where the body ends, what it leaves behind is no map but the gap.
    within = ndimage.binary_erosion(rise != 0)
    assert within.sum() > 1000
    assert determinant[within].min() > 0.05
    assert ((opened >= 0) & (opened <= 1)).all()
    # Every column of the field rises strictly, so no resolution shows a fold.
    assert (np.diff(around.up[:, None, None] + fallen.shift, axis=0) > 0).all()
