"""Settings of the synthetic cohort."""

import numpy as np
import pytest

from vfseg.data.schemes import LEVELS
from vfseg.errors import UserError
from vfseg.settings import read
from vfseg.synthesis.phantom import PhantomSettings
from vfseg.synthesis.settings import CLINICAL_RATES


def test_fracture_rates_by_level():
    uniform = PhantomSettings(fracture_probability=0.3)
    assert {uniform.fracture_rate(level) for level in LEVELS} == {0.3}
    clinical = PhantomSettings(fracture_probability=0.26, fracture_rates="clinical")
    rates = {level: clinical.fracture_rate(level) for level in LEVELS}
    assert np.mean(list(rates.values())) == pytest.approx(0.26)
    assert max(rates, key=rates.get) == "L1"
    assert rates["L1"] / rates["T4"] == pytest.approx(35.7 / 3.3)
    assert CLINICAL_RATES["L5"] == 4.5


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"fracture_probabilty": 0.2}, "fracture_probability"),
        ({"fracture_probability": 1.5}, "fracture_probability"),
        ({"levels": ("L5", "T4")}, "levels"),
        ({"levels": ("C1", "L5")}, "levels"),
        ({"levels": ("L1", "L3"), "levels_per_case": (5, 5)}, "levels_per_case"),
        ({"voxel_spacing": 0.0}, "voxel_spacing"),
        ({"voxel_spacing": "fine"}, "voxel_spacing"),
        ({"orientations": ("RAR",)}, "orientations"),
        ({"noise_sd": (30, 10)}, "noise_sd"),
        ({"train": -1}, "train"),
        ({"hardware_probability": 2}, "hardware_probability"),
        ({"transitional_probability": -0.1}, "transitional_probability"),
        ({"hard_negatives": 1.1}, "hard_negatives"),
        ({"split_fraction": "often"}, "split_fraction"),
        ({"split_fraction": 0.6, "burst_fraction": 0.6}, "burst_fraction"),
        ({"fracture_rates": "real"}, "fracture_rates"),
    ],
)
def test_settings_that_cannot_be_are_named(wrong, named):
    _, problems = read(PhantomSettings, wrong, "config.phantom")
    assert any(f"config.phantom.{named}" in line for line in problems.values())


def test_settings_check_themselves_however_they_are_made():
    with pytest.raises(
        UserError, match=r"config\.phantom\.noise_sd=\(30, 10\): expected \(low, high\)"
    ):
        PhantomSettings(noise_sd=(30, 10))
