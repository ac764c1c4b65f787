"""Phantoms and virtual fractures in real bone together: the recipe of the shipped model.

Trains on phantoms, from ranges of tissue and scanner wider than real ones, and on 16 virtually
fractured variants of each CT that the manifest puts into `train`, both with look-alikes that are no
fracture, strongly augmented; chooses thresholds on both kinds of validation cases; tests on the
virtual fractures of CTs it never saw. A CT's variants share its patient and stay in one split. The
truth is synthetic; the workdir holds patient data. A training takes 50 minutes of a CPU core.

    python -m vfseg.main --config configs/real_bone.py --config.manifest=DATA/manifest.csv

With `--mode ship --output FOLDER` it also writes a model to pass on; `DATA/ABOUT.md` must say where
the CTs come from. `--config.painted.label_maps=FOLDER` adds CTs painted from label maps, as the
shipped model has them. `:slice_classifier` is the baseline on the same cases.
"""

from pathlib import Path

from ml_collections import ConfigDict

from vfseg.config.derive import derive
from vfseg.synthesis.phantom.benchmark import BENCHMARK

QUICKSTART = Path(__file__).with_name("quickstart.py")

CASES = {
    "manifest": "data/manifest.csv",
    "add_phantoms": True,
    "phantom.test": 0,  # what is tested is virtual fractures
    "phantom.randomised": True,
    "phantom.hard_negatives": 0.3,
    "virtual_fractures.variants": 16,
    "virtual_fractures.hard_negatives": 0.5,
    "prepare.vertebra_scheme": "",
    "augment.rotation": 10.0,
    "augment.scaling": 0.1,
    "augment.translation": 4.0,
    "augment.gamma": 0.2,
    "augment.contrast": 0.15,
    "augment.noise": 30.0,
    "augment.blur": 0.8,
    "augment.low_resolution": 1.0,
    "augment.hu_shift": 50.0,
    "augment.thickness": 5.0,
    "augment.sharpness": 1.0,
    "train.save_every": 500,
}

VARIANTS = {
    "": {
        "windows.planes": ("sagittal", "coronal"),
        "inference.flips": True,
        "stages.attention": 6000,
        "stages.recurrent": 1500,
        "stages.adversarial": 200,
        "stages.fine_tune": 200,
        "train.validate_every": 7900,  # once, at the end
    },
    "slice_classifier": {
        "network": "slice_classifier",
        "windows.planes": ("axial", "coronal", "sagittal"),
        "windows.length": 1,
        "windows.targets": 1,
        "windows.batch_size": 32,
        "losses.l1": 0.0,
        "losses.dice": 0.0,
        "losses.cross_entropy": 1.0,
        "stages.attention": 0,
        "stages.recurrent": 1500,
        "stages.adversarial": 0,
        "stages.fine_tune": 0,
        "train.validate_every": 1500,
        "train.generator_learning_rate": 1e-3,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there is 'slice_classifier'")
    return derive(QUICKSTART, BENCHMARK, CASES, VARIANTS[variant])
