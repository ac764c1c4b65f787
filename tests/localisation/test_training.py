"""The loss where its value is known."""

import jax
import numpy as np
import pytest

from vfseg.localisation.levels import CLASSES
from vfseg.localisation.network import RARE, first_params
from vfseg.localisation.samples import Sample
from vfseg.localisation.training import HEAT_WEIGHT, LEVEL_WEIGHT, loss

measured = jax.jit(loss)


def silent():
    """Parameters under which the network says nothing: every logit is what it starts from."""
    params = first_params(0)
    for name in ("Dense_2", "Dense_3"):
        params[name] = {k: np.zeros_like(v) for k, v in params[name].items()}
    return params


@pytest.fixture(scope="module")
def batch():
    heat = np.zeros((1, 8, 8, 8), np.float32)
    heat[0, 4, 4, 4] = 1
    level = np.zeros((1, 4, 4, 4, CLASSES), np.float32)
    level[0, 2, 2, 2, 5] = 1
    weight = np.ones_like(heat)
    weight[0, 0] = 0
    return Sample(np.zeros_like(heat), heat, weight, level)


def test_the_loss_of_a_silent_network_is_known(batch):
    total, parts = measured(silent(), batch)
    # log(1 + e^-4) for each voxel without a body, 41 times log(1 + e^4) for the middle of one; the
    # logit of a target of 0 or 1 is bounded, which takes about 1e-6 from each voxel.
    voxels = 7 * 64
    expected = ((voxels - 1) * np.log1p(np.exp(-RARE)) + 41 * np.log1p(np.exp(RARE))) / voxels
    assert parts.heat == pytest.approx(expected, rel=1e-3)
    assert parts.level == pytest.approx(np.log(CLASSES), rel=1e-5)
    expected = HEAT_WEIGHT * float(parts.heat) + LEVEL_WEIGHT * float(parts.level)
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_what_is_not_known_does_not_count(batch):
    other = batch._replace(heat=batch.heat.copy(), level=np.zeros_like(batch.level))
    other.heat[0, 0] = 1
    known, less = (measured(silent(), b)[1] for b in (batch, other))
    assert less.heat == pytest.approx(float(known.heat))
    assert less.level == 0
