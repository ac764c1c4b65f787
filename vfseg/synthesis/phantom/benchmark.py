"""The benchmark cohort: 44 synthetic spines, all of T4 to L5, at mixed spacings.

The cohort on which recipes are compared. It was fixed, seed and all, before any model was trained
on it: the seed is the smallest one (counted from 0) with which every level from T4 to L5 has an
acute fracture both in the train and in the test split; a test counts again. The rates by level are
those of a clinical series (26 % of the vertebrae), a quarter of the fractures show only across
slices, and stored orientations, oblique grids, kernels and noise differ from case to case.
"""

BENCHMARK = {
    "phantom.seed": 3,
    "phantom.train": 24,
    "phantom.validation": 8,
    "phantom.test": 12,
    "phantom.levels": ("T4", "L5"),
    "phantom.levels_per_case": (14, 14),
    "phantom.voxel_spacing": ((0.75, 1.25), (0.8, 1.25), (0.8, 1.25)),
    "phantom.fracture_probability": 0.26,
    "phantom.fracture_rates": "clinical",
    "phantom.old_deformity_probability": 0.08,
    "phantom.across_slices_fraction": 0.25,
    "phantom.split_fraction": 0.05,
    "phantom.burst_fraction": 0.12,
    "phantom.transitional_probability": 0.1,
    "phantom.hardware_probability": 0.1,
    "phantom.noise_sd": (15.0, 40.0),
    "phantom.orientations": ("RAS", "LPS", "PIR", "LAS", "LIP"),
    "phantom.oblique_degrees": 15.0,
}
"""Its settings, by dotted key of a config."""
