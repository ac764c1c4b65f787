"""Hounsfield units by tissue."""

import numpy as np
import pytest

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import THREE, local_frame
from vfseg.synthesis.phantom.tissue import stretch


def test_hounsfield_units_by_tissue():
    case = make_case(
        9, {**THREE, "voxel_spacing": 1.0, "noise_sd": (0, 0), "old_deformity_probability": 0},
        fractures={},
    )  # fmt: skip
    ct = case.ct.array
    assert ct.dtype == np.int16
    shells = []
    for fact in case.facts:
        size = fact.size
        up, front, right = local_frame(case, fact)
        core = (np.abs(up) < 0.3 * size.height) & (np.hypot(front, right) < 0.3 * size.depth)
        assert np.median(ct[core]) == pytest.approx(fact.trabecular, abs=0.2 * fact.trabecular + 15)
        assert 5 < ct[core].std() < 120  # trabecular grain
        inside = case.vertebrae.array == fact.label
        shells.append(np.percentile(ct[inside], [90, 99]))
        canal = (np.abs(up) < 2) & (
            np.hypot(front + (size.depth + size.canal_depth) / 2, right) < 4
        )
        assert -20 < np.median(ct[canal]) < 70
    for upper, lower in zip(case.facts, case.facts[1:]):
        ends = (
            upper.frame.to_patient((-upper.size.height / 2, 0, 0)),
            lower.frame.to_patient((lower.size.height / 2, 0, 0)),
        )
        middle = np.rint(np.mean(ends, 0) / case.ct.voxel_spacing).astype(int)
        disc = ct[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, (0, 4, 4)))]
        assert 50 < np.median(disc) < 125
    assert 300 < np.mean(shells, 0)[0] < 900  # cortex of 0.5-1 mm by partial volume
    assert 600 < np.mean(shells, 0)[1] < 1300
    assert np.percentile(ct, 1) < -950  # air behind the skin
    assert ct.max() < 1500


def test_stretch_equals_interp():
    array = np.random.default_rng(3).normal(size=(4, 3, 5)).astype(np.float32)
    for axis, size in ((0, 9), (1, 3), (2, 17)):
        expected = np.apply_along_axis(
            lambda v, n=size: np.interp(np.linspace(0, len(v) - 1, n), np.arange(len(v)), v),
            axis, array,
        )  # fmt: skip
        np.testing.assert_allclose(stretch(array, axis, size), expected, atol=1e-6)
