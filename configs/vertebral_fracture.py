"""The full recipe on the benchmark cohort, and its ablation.

Four stages: an Attention U-Net on single slices, then with a ConvLSTM over five of them, then
against the discriminator, then the whole at a lower rate.

    python -m vfseg.main --config configs/vertebral_fracture.py

Variants leave something out, for `python -m benchmarks.studies.ablation`:

    :unet        U-Net on single slices
    :attention   with attention gates
    :convlstm    and a ConvLSTM over five slices, trained in one stage
    :gan         and a discriminator
    :light       the full recipe with half the channels

All variants train for as many steps in all as the full recipe.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vfseg.config.derive import derive
from vfseg.synthesis.phantom.benchmark import BENCHMARK

QUICKSTART = Path(__file__).with_name("quickstart.py")

STEPS = 5500

RECIPE = {
    "stages.attention": 3500,
    "stages.recurrent": 1200,
    "stages.adversarial": 400,
    "stages.fine_tune": 400,
    "train.save_every": 500,
    "train.validate_every": STEPS // 2,
    # What lies in the plane of one is across the other: a split that no sagittal slice shows is a
    # line in a coronal one.
    "windows.planes": ("sagittal", "coronal"),
    "inference.flips": True,
    "augment.rotation": 8.0,
    "augment.scaling": 0.08,
    "augment.translation": 2.0,
    "augment.gamma": 0.1,
    "augment.noise": 15.0,
}

ONE_STAGE = {
    "stages.attention": 0,
    "stages.recurrent": STEPS,
    "stages.adversarial": 0,
    "stages.fine_tune": 0,
}

VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "unet": {**ONE_STAGE, "windows.length": 1, "generator.attention": False},
    "attention": {**ONE_STAGE, "windows.length": 1},
    "convlstm": ONE_STAGE,
    "gan": {
        **ONE_STAGE,
        "stages.recurrent": STEPS - STEPS // 4,
        "stages.adversarial": STEPS // 4,
    },
    "light": {"generator.features": (8, 16, 32, 64), "generator.recurrent_features": 16},
}


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(filter(None, VARIANTS))}")
    return derive(QUICKSTART, BENCHMARK, RECIPE, VARIANTS[variant])
