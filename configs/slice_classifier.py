"""The baseline of the earlier study: a ResNet18 says of each slice whether it shows a fracture.

One network on axial, coronal and sagittal slices; its probabilities are spread over the slices and
averaged over the three directions. Same cohort, splits, loop and evaluator as the full recipe.

    python -m vfseg.main --config configs/slice_classifier.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    base = Path(__file__).with_name("benchmark_cohort.py")
    config = runpy.run_path(str(base))["get_config"]()
    config.network = "slice_classifier"
    config.windows.planes = ("axial", "coronal", "sagittal")
    config.windows.length = 1
    config.windows.targets = 1
    config.windows.batch_size = 32
    config.losses.l1 = config.losses.dice = 0.0
    config.losses.cross_entropy = 1.0
    config.stages.attention = config.stages.adversarial = config.stages.fine_tune = 0
    config.stages.recurrent = 5000  # about as long as the full recipe takes
    config.train.save_every = 500
    config.train.validate_every = 2500
    config.train.generator_learning_rate = 1e-3
    config.augment.rotation = 10.0
    config.augment.scaling = 0.1
    config.augment.translation = 4.0
    config.augment.noise = 20.0
    return config
