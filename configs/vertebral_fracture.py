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

import runpy
from pathlib import Path

from ml_collections import ConfigDict

VARIANTS = ("", "unet", "attention", "convlstm", "gan", "light")


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(VARIANTS[1:])}")
    base = Path(__file__).with_name("benchmark_cohort.py")
    config = runpy.run_path(str(base))["get_config"]()

    stages = config.stages
    stages.attention, stages.recurrent, stages.adversarial, stages.fine_tune = 3500, 1200, 400, 400
    steps = sum(stages.values())
    config.train.save_every = 500
    config.train.validate_every = 2750

    # What lies in the plane of one is across the other: a split that no sagittal slice shows is a
    # line in a coronal one.
    config.windows.planes = ("sagittal", "coronal")
    config.inference.flips = True
    config.augment.rotation = 8.0
    config.augment.scaling = 0.08
    config.augment.translation = 2.0
    config.augment.gamma = 0.1
    config.augment.noise = 15.0

    if variant in ("unet", "attention"):
        config.windows.length = 1
        config.generator.attention = variant == "attention"
        stages.attention, stages.recurrent, stages.adversarial, stages.fine_tune = 0, steps, 0, 0
    if variant == "convlstm":
        stages.attention, stages.recurrent, stages.adversarial, stages.fine_tune = 0, steps, 0, 0
    if variant == "gan":
        quarter = steps // 4
        stages.attention, stages.recurrent = 0, steps - quarter
        stages.adversarial, stages.fine_tune = quarter, 0
    if variant == "light":
        config.generator.features = (8, 16, 32, 64)
        config.generator.recurrent_features = 16
    return config
