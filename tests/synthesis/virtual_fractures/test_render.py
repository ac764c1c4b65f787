"""Noise: measured, and kept by the resampling."""

import numpy as np
import pytest
from scipy import ndimage

from tests.synthesis.virtual_fractures.block import DISC_VALUE, HEIGHT, measure
from vfseg.synthesis.virtual_fractures import FractureSpec, LabelledCT, fracture_vertebra
from vfseg.synthesis.virtual_fractures.body import voxel_grid
from vfseg.synthesis.virtual_fractures.render import measure_noise


def test_sampling_keeps_the_noise(whole):
    ct, labels, reading, level = whole
    scan, spec = LabelledCT(ct, labels), FractureSpec("crush", 0.3, acute=False)
    case, _ = fracture_vertebra(scan, level, spec, 5, reading=reading)
    up, front, right = voxel_grid(ct).local((slice(None),) * 3, measure(whole).frame)
    core = (np.abs(front) < 8) & (np.abs(right) < 14)
    residual = case.ct.array - ndimage.gaussian_filter(case.ct.array.astype(float), 2)
    reference = ct.array - ndimage.gaussian_filter(ct.array.astype(float), 2)
    calm = core & (up > -4) & (up < 4)
    # In the gap that the endplate leaves behind, which is disc now, and in the crushed bone.
    sunk = 0.3 * HEIGHT
    gap = core & (up > HEIGHT / 2 - sunk + 3) & (up < HEIGHT / 2)
    crushed = core & (up > HEIGHT / 2 - 3 * sunk + 2) & (up < HEIGHT / 2 - sunk - 4)
    for part in (gap, crushed):
        assert part.sum() > 1000
        assert residual[part].std() == pytest.approx(reference[calm].std(), rel=0.25)
    assert case.ct.array[gap].mean() == pytest.approx(DISC_VALUE, abs=8)


def test_noise_is_measured():
    """White noise; and along h taps a, 1, a: variance 1 + 2 a², correlation 2 a / (1 + 2 a²)."""
    noise = np.random.default_rng(1).normal(0, 40, (40, 61, 40))
    seen = np.ones(noise.shape, bool)
    found = measure_noise((40 + noise).astype(np.int16), seen)
    assert found.sd == pytest.approx(40, rel=0.05)
    assert np.abs(found.correlation).max() < 0.06
    a = -0.3
    sharp = ndimage.correlate1d(noise, [a, 1, a], 1, mode="wrap")
    found = measure_noise((40 + sharp).astype(np.int16), seen)
    # Second neighbours correlate by a² / (1 + 2 a²), which the model of a Gaussian has as c^4.
    assert found.correlation[1] == pytest.approx(2 * a / (1 + 2 * a**2), abs=0.1)
    assert np.abs(found.correlation[[0, 2]]).max() < 0.06
    assert found.sd == pytest.approx(40 * np.sqrt(1 + 2 * a**2), rel=0.08)
