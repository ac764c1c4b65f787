"""Benchmark: a fixed cohort of 44 synthetic spines, all of T4 to L5, at mixed spacings.

The cohort on which recipes are compared. It was fixed, seed and all, before any model was trained
on it: the seed is the smallest one (counted from 0) with which every level from T4 to L5 has an
acute fracture both in the train and in the test split; a test counts again. The rates by level
are those of a clinical series (26 % of the vertebrae), a quarter of the fractures show only across
slices, and stored orientations, oblique grids, kernels and noise differ from case to case.

    python -m benchmarks.studies.floors --config configs/benchmark_cohort.py
    python -m vfseg.main --config configs/benchmark_cohort.py

The first command makes the cohort, compares it with MASKS_SHA256 and prints its floors.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

MASKS_SHA256 = "9ba1eaa8da33358ec570edd06d22baf1f41f63ab6cebc2018b02c1c3a6410270"
"""`vfseg.synthesis.phantom.cohort_hash` of it: of its vertebra label maps and fracture masks."""


def get_config() -> ConfigDict:
    base = Path(__file__).with_name("quickstart.py")
    config = runpy.run_path(str(base))["get_config"]()

    config.phantom = ConfigDict()
    config.phantom.seed = 3
    config.phantom.train = 24
    config.phantom.validation = 8
    config.phantom.test = 12
    config.phantom.levels = ("T4", "L5")
    config.phantom.levels_per_case = (14, 14)
    config.phantom.voxel_spacing = ((0.75, 1.25), (0.8, 1.25), (0.8, 1.25))
    config.phantom.fracture_probability = 0.26
    config.phantom.fracture_rates = "clinical"
    config.phantom.old_deformity_probability = 0.08
    config.phantom.across_slices_fraction = 0.25
    config.phantom.split_fraction = 0.05
    config.phantom.burst_fraction = 0.12
    config.phantom.transitional_probability = 0.1
    config.phantom.hardware_probability = 0.1
    config.phantom.noise_sd = (15.0, 40.0)
    config.phantom.orientations = ("RAS", "LPS", "PIR", "LAS", "LIP")
    config.phantom.oblique_degrees = 15.0
    return config
