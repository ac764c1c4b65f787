"""The baseline of the earlier study: a ResNet18 says of each slice whether it shows a fracture.

One network on axial, coronal and sagittal slices; its probabilities are spread over the slices and
averaged over the three directions. Same cohort, splits, loop and evaluator as the full recipe.

    python -m vfseg.main --config configs/slice_classifier.py
"""

from pathlib import Path

from ml_collections import ConfigDict

from vfseg.config.derive import derive
from vfseg.synthesis.phantom.benchmark import BENCHMARK

QUICKSTART = Path(__file__).with_name("quickstart.py")

CLASSIFIER = {
    "network": "slice_classifier",
    "windows.planes": ("axial", "coronal", "sagittal"),
    "windows.length": 1,
    "windows.targets": 1,
    "windows.batch_size": 32,
    "losses.l1": 0.0,
    "losses.dice": 0.0,
    "losses.cross_entropy": 1.0,
    "stages.attention": 0,
    "stages.recurrent": 5000,  # about as long as the full recipe takes
    "stages.adversarial": 0,
    "stages.fine_tune": 0,
    "train.save_every": 500,
    "train.validate_every": 2500,
    "train.generator_learning_rate": 1e-3,
    "augment.rotation": 10.0,
    "augment.scaling": 0.1,
    "augment.translation": 4.0,
    "augment.noise": 20.0,
}


def get_config() -> ConfigDict:
    return derive(QUICKSTART, BENCHMARK, CLASSIFIER)
