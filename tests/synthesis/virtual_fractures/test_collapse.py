"""The map by which a body collapses."""

import numpy as np
import pytest

from tests.synthesis.virtual_fractures.block import SPECS, neighbours
from vfseg.synthesis.virtual_fractures.body import along, measure_body, soft_tissue
from vfseg.synthesis.virtual_fractures.collapse import ABOVE_MM, BELOW_MM, collapse
from vfseg.synthesis.virtual_fractures.fracture import draw_in_body


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.height_loss}-{s.endplates}")
@pytest.mark.parametrize("seed", range(2))
def test_never_folds(whole, spec, seed):
    """Determinant of the backward map by finite differences, at voxels and between them."""
    _, labels, reading, level = whole
    above, vertebra, below = neighbours(reading, level)
    body = measure_body(labels, vertebra, above, below)
    fracture = draw_in_body(np.random.default_rng(seed), spec, body, 100.0, 1.0)
    up = along(body.bottom.min() - BELOW_MM - 2, body.top.max() + ABOVE_MM + 2)
    fallen = collapse(body, fracture, *soft_tissue(labels, reading.spine_ids, body, up), up)
    step = 0.8
    axes = [np.arange(low, high, step) for low, high in ((-30, 70), (-35, 40), (-30, 30))]
    local = tuple(np.meshgrid(*axes, indexing="ij"))
    rise, forth = fallen.backward(local)
    source = np.stack([local[0] + rise, local[1] + forth, local[2]])
    gradient = np.stack([np.gradient(s, step, axis=(0, 1, 2)) for s in source])
    determinant = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)))
    assert determinant.min() > 0.05
    # Every column of the field rises strictly, so no resolution shows a fold.
    assert (np.diff(up[:, None, None] + fallen.shift, axis=0) > 0).all()
