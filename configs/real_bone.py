"""Phantoms and virtual fractures in real bone together: the recipe of the shipped model.

Trains on the phantoms of the benchmark cohort and on 16 virtually fractured variants of each CT
that the manifest puts into `train`, strongly augmented; chooses thresholds on both kinds of
validation cases; tests on the virtual fractures of CTs it never saw. A CT's variants share its
patient and stay in one split. The truth is synthetic; the workdir holds patient data.

    python -m vfseg.main --config configs/real_bone.py --config.manifest=DATA/manifest.csv

With `--mode ship --output FOLDER` it also writes a model to pass on; `DATA/ABOUT.md` must say where
the CTs come from. `:slice_classifier` is the baseline on the same cases.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    if variant not in ("", "slice_classifier"):
        raise ValueError(f"no variant {variant!r}; there is 'slice_classifier'")
    name = "slice_classifier.py" if variant else "vertebral_fracture.py"
    config = runpy.run_path(str(Path(__file__).with_name(name)))["get_config"]()

    stages = config.stages
    stages.attention, stages.recurrent, stages.adversarial, stages.fine_tune = 2000, 700, 200, 200
    if variant:
        stages.attention, stages.recurrent, stages.adversarial, stages.fine_tune = 0, 1500, 0, 0
    config.train.validate_every = sum(stages.values())

    config.manifest = "data/manifest.csv"
    config.add_phantoms = True
    config.virtual_fractures.variants = 16
    config.prepare.vertebra_scheme = ""

    config.augment.rotation = 10.0
    config.augment.scaling = 0.1
    config.augment.translation = 4.0
    config.augment.gamma = 0.2
    config.augment.contrast = 0.15
    config.augment.noise = 30.0
    config.augment.blur = 0.8
    config.augment.low_resolution = 1.0
    config.augment.hu_shift = 30.0
    return config
