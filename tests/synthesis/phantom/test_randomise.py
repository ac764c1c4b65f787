"""Domain randomisation: what it changes, from which ranges, and what it leaves alone."""

import dataclasses

import numpy as np
import pytest

from tests.synthesis.made import make_case
from vfseg.synthesis.phantom import PhantomSettings, randomise
from vfseg.synthesis.phantom.appearance import COMMON, RANGES, draw_appearance
from vfseg.synthesis.phantom.motion import Motion, smear
from vfseg.synthesis.phantom.randomise import randomise_patient, randomise_scanner
from vfseg.synthesis.phantom.scanner import draw_scanner
from vfseg.synthesis.phantom.spine import draw_patient

SMALL = {"levels": ("L1", "L2"), "levels_per_case": (2, 2), "voxel_spacing": 2.0}


def test_it_changes_the_ct_and_nothing_of_the_truth():
    common = make_case(5, {**SMALL, "fracture_probability": 0.9})
    wide = make_case(5, {**SMALL, "fracture_probability": 0.9, "randomised": True})
    np.testing.assert_array_equal(common.vertebrae.array, wide.vertebrae.array)
    np.testing.assert_array_equal(common.fractures.array, wide.fractures.array)
    assert common.fractures.array.any()
    assert (common.ct.array != wide.ct.array).mean() > 0.5
    assert common.patient.look == COMMON
    assert wide.patient.look != COMMON


def test_the_setting_counts_only_where_it_is_set():
    assert PhantomSettings().fingerprint() != PhantomSettings(randomised=True).fingerprint()


def test_every_attribute_is_drawn_from_its_range_and_fills_it():
    assert RANGES.keys() == {field.name for field in dataclasses.fields(COMMON)}
    drawn = [draw_appearance(np.random.default_rng(seed)) for seed in range(200)]
    for name, (low, high) in RANGES.items():
        values = np.array([getattr(look, name) for look in drawn])
        assert low <= getattr(COMMON, name) <= high
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high >= values.max() > high - 0.1 * (high - low)


def test_patients_and_scanners_stay_in_the_stated_ranges():
    patients, scanners = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before = draw_patient(rng, 0)
        after = randomise_patient(rng, before)
        assert (after.age, after.degeneration) == (before.age, before.degeneration)
        patients.append(after)
        scanners.append(randomise_scanner(rng, draw_scanner(rng, PhantomSettings())))
    for name, span in (("trabecular", "TRABECULAR_HU"), ("cortex", "CORTEX_MM")):
        values = [getattr(patient, name) for patient in patients]
        low, high = getattr(randomise, span)
        assert low <= min(values) <= max(values) <= high
    for name, span in (("blur", "BLUR_MM"), ("sharpness", "SHARPNESS"), ("noise_sd", "NOISE_HU")):
        values = [getattr(scanner, name) for scanner in scanners]
        low, high = getattr(randomise, span)
        assert low <= min(values) <= max(values) <= high
    contrast = np.array([patient.contrast for patient in patients])
    given = contrast[contrast > 0]
    assert randomise.CONTRAST_HU[0] <= given.min()
    assert given.max() <= randomise.CONTRAST_HU[1]
    moved = [scanner.motion for scanner in scanners if scanner.motion is not None]
    for share, probability in (
        (len(given), randomise.CONTRAST_PROBABILITY),
        (len(moved), randomise.MOTION_PROBABILITY),
    ):
        expected = 200 * probability
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - probability)))
    assert all(np.abs(motion.shift).max() <= randomise.MOTION_MM for motion in moved)


def test_motion_mixes_in_what_lies_beside_within_its_slices():
    """A ramp of 10 HU a mm to the right, moved 3 mm right: half of the signal is 30 HU lower."""
    spacing = np.array([1.0, 1.0, 0.5])
    ramp = np.broadcast_to(10 * 0.5 * np.arange(40, dtype=np.float32), (50, 8, 40)).copy()
    out = smear(ramp, Motion(0.5, 0.4, (1.3, 3.0)), spacing)
    np.testing.assert_allclose(out[25, :, 10:] - ramp[25, :, 10:], -15, atol=1e-3)
    np.testing.assert_array_equal(out[:14], ramp[:14])
    np.testing.assert_array_equal(out[36:], ramp[36:])
    flat = np.full((20, 5, 5), 70, np.float32)
    np.testing.assert_allclose(smear(flat, Motion(0.3, 0.5, (2.0, -2.0)), spacing), 70, atol=1e-4)
