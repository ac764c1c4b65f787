"""nnU-Net v2 on our crops: its own plans, network, loss, augmentation, schedule and prediction.

Set from outside are the split, the size of a batch (the smallest that it plans in 3D, 32 in 2D),
and the number of iterations that fit into the time. It trains in a process of its own, since it
forks, which JAX does not bear:

    python -m benchmarks.studies.peers.nnunet FOLDER CONFIGURATION SECONDS

Reference:
    Isensee, Jaeger, Kohl, Petersen and Maier-Hein (2021), Nature Methods: nnU-Net.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np

from benchmarks import nnunet

if TYPE_CHECKING:  # they import JAX
    from benchmarks.studies.peers.crops import Crops
    from benchmarks.studies.peers.judge import CropFunction

CONFIGURATIONS = ("2d", "3d_fullres")
_BATCH = {"2d": 32, "3d_fullres": 2}
"""Small crops let its planner take 1075 and 22, of which a CPU does a few in the whole time."""
_SPLITS = "splits.json"
_ITERATIONS = 25
"""Of an epoch: so often the rate falls. nnU-Net has 250 in each of 1000."""
_TRIED = 4
"""Iterations that tell how long one takes, after one that warms up."""


def write(crops: dict[str, Crops], folder: Path) -> None:
    """Writes crops as nnU-Net's raw data, and the split for later.

    Args:
        crops: by split, `train` and `validation`.
        folder: of everything of nnU-Net's.
    """
    raw = folder / "raw" / nnunet.DATASET
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True, exist_ok=True)
    for some in crops.values():
        affine = np.diag([some.voxel_spacing] * 3 + [1])
        for name, ct, fractures in zip(some.names, some.ct, some.fractures):
            # NIfTI's first axis is the last of nnU-Net's arrays: `d h w` is written as `w h d`.
            image = nibabel.Nifti1Image(ct.transpose(), affine)
            nibabel.save(image, raw / "imagesTr" / f"{name}_0000.nii.gz")
            mask = nibabel.Nifti1Image(fractures.transpose().astype(np.uint8), affine)
            nibabel.save(mask, raw / "labelsTr" / f"{name}.nii.gz")
    nnunet.describe_dataset(raw, sum(len(some.names) for some in crops.values()))
    split = {"train": crops["train"].names, "val": crops["validation"].names}
    (folder / _SPLITS).write_text(json.dumps([split]))


def train(configuration: str, seconds: float, folder: Path) -> None:
    """Plans, preprocesses and trains in a process of its own.

    Args:
        configuration: of `CONFIGURATIONS`.
        seconds: of processor time, for the training alone.
        folder: with what `write` wrote.

    Raises:
        CalledProcessError: nnU-Net failed.
    """
    command = [sys.executable, "-m", "benchmarks.studies.peers.nnunet"]
    subprocess.run([*command, str(folder), configuration, str(seconds)], check=True)


def _prepare(folder: Path) -> None:
    """Plans and preprocesses, unless that was done."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    done = folder / "preprocessed" / nnunet.DATASET / "splits_final.json"
    if done.exists():
        return
    extract_fingerprints([1], num_processes=1)
    plan_experiments([1])
    preprocess([1], configurations=CONFIGURATIONS, num_processes=(1,) * len(CONFIGURATIONS))
    (folder / _SPLITS).replace(done)


def _train(configuration: str, seconds: float, folder: Path) -> None:
    """Trains one configuration for so long; nnU-Net's own code writes the model."""
    os.environ |= {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "false"}  # in this process alone
    tried = _trainer(configuration, folder)
    tried.on_train_start()
    tried.on_epoch_start()
    tried.on_train_epoch_start()
    for number in range(_TRIED + 1):
        if number == 1:
            begun = time.process_time()
        tried.train_step(next(tried.dataloader_train))
    each = (time.process_time() - begun) / _TRIED
    trainer = _trainer(configuration, folder, max(1, round(seconds / (each * (_ITERATIONS + 1)))))
    trainer.num_iterations_per_epoch = _ITERATIONS
    trainer.num_val_iterations_per_epoch = 1
    begun = time.process_time()
    trainer.run_training()
    spent, batch = time.process_time() - begun, trainer.batch_size
    print(
        f"nnU-Net {configuration}: {trainer.num_epochs} epochs of {_ITERATIONS} iterations, batch "
        f"of {batch}, {spent:.0f} s of processor time",
        flush=True,
    )


def load(configuration: str, folder: Path) -> CropFunction:
    """The trained network as a function of a crop, predicted as nnU-Net does, mirrored and all."""
    nnunet.set_folders(folder)
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
    )
    model = (
        folder / "results" / nnunet.DATASET / f"{nnunet.TRAINER}__{nnunet.PLANS}__{configuration}"
    )
    predictor.initialize_from_trained_model_folder(str(model), (0,), "checkpoint_final.pth")
    spacing = json.loads((model / "plans.json").read_text())["original_median_spacing_after_transp"]

    def predict(crop: np.ndarray) -> np.ndarray:
        _, probabilities = predictor.predict_single_npy_array(
            crop[None].astype(np.float32), {"spacing": spacing}, None, None, True
        )
        return np.asarray(probabilities[1], np.float32)

    return predict


def _trainer(configuration: str, folder: Path, epochs: int = 1) -> Any:
    """nnU-Net's trainer, whose rate falls to 0 over that many epochs."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    preprocessed = folder / "preprocessed" / nnunet.DATASET
    plans = json.loads((preprocessed / f"{nnunet.PLANS}.json").read_text())
    plans["continue_training"] = False
    plans["configurations"][configuration]["batch_size"] = _BATCH[configuration]
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, configuration, 0, dataset, torch.device("cpu"))
    trainer.num_epochs = epochs  # before the schedule is made of it
    trainer.initialize()
    return trainer


if __name__ == "__main__":
    place = Path(sys.argv[1])
    nnunet.set_folders(place)
    _prepare(place)
    _train(sys.argv[2], float(sys.argv[3]), place)
