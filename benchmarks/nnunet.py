"""nnU-Net v2 as its own commands run it: planned, preprocessed, and an untrained network of its 2D.

What is timed begins after the imports; those of processes that nnU-Net starts anew count, as under
its own commands. All of nnU-Net's processes count for the memory. Its folders `raw`, `preprocessed`
and `results` lie in `nnunet` of the folder of a benchmark; where that is, it is told by the
environment, which every function here sets.
"""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.large_ct import FILES
from benchmarks.memory import Watch, stored_bytes

DATASET, PLANS, CONFIGURATION = "Dataset001_fractures", "nnUNetPlans", "2d"
TRAINER = "nnUNetTrainer"
MIRRORED = (0, 1)
"""Axes that its trainer lets a 2D network mirror."""
PREDICTING_PROCESSES, PREPARING_PROCESSES = 3, 8
"""Its defaults: of `nnUNetv2_predict`, before and after the network each, and of
`nnUNetv2_plan_and_preprocess`."""
QUICK_FEATURES = 4  # of every stage


def make_dataset(folder: str, cases: Sequence[str]) -> None:
    """Lays cases out as nnU-Net wants them: links to the CTs, and their fractures as 0 and 1.

    Args:
        folder: of the benchmark.
        cases: folders with `FILES`, named as the cases; relative to it.
    """
    import nibabel as nib
    import numpy as np

    raw = Path(folder, "nnunet", "raw", DATASET)
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True)
    for case in cases:
        source = Path(folder, case).resolve()
        (raw / "imagesTr" / f"{source.name}_0000.nii.gz").symlink_to(source / FILES["ct"])
        marked = nib.load(source / FILES["fractures"])
        binary = (np.asanyarray(marked.dataobj) != 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(binary, marked.affine), raw / "labelsTr" / f"{source.name}.nii.gz")
    describe_dataset(raw, len(cases))


def describe_dataset(raw: Path, cases: int) -> None:
    """Writes `dataset.json`: CTs, on which fractures are marked.

    Args:
        raw: folder of the data set.
        cases: their number.
    """
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "fracture": 1},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(description))


def set_folders(folder: Path) -> None:
    """Tells nnU-Net where its folders `raw`, `preprocessed` and `results` are."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder.resolve() / name)


def prepare(folder: str, processes: int) -> dict[str, float]:
    """What `nnUNetv2_plan_and_preprocess -c 2d` does: seconds, bytes of memory and on the disk.

    Args:
        folder: of the benchmark, with the data set.
        processes: of both of its parts.
    """
    with _found_in(folder):
        from nnunetv2.experiment_planning import plan_and_preprocess_api as api

        made = Path(folder, "nnunet", "preprocessed")
        shutil.rmtree(made, ignore_errors=True)
        with Watch() as watch:
            begin = time.perf_counter()
            api.extract_fingerprints([1], num_processes=processes)
            api.plan_experiments([1])
            api.preprocess([1], PLANS, [CONFIGURATION], [processes])
            seconds = time.perf_counter() - begin
    return {"seconds": seconds, "bytes": watch.bytes, "stored": stored_bytes(made)}


def make_model(folder: str, quick: bool) -> None:
    """Plans for the data set, and puts a network with random weights where a trained one would be.

    Args:
        folder: of the benchmark, with the data set.
        quick: a network of few features.
    """
    with _found_in(folder):
        import torch
        from nnunetv2.experiment_planning import plan_and_preprocess_api as api
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        api.extract_fingerprints([1], num_processes=1)
        api.plan_experiments([1])
        planned, model = Path(folder, "nnunet", "preprocessed", DATASET), _model(folder)
        plans = json.loads((planned / f"{PLANS}.json").read_text())
        if quick:
            network = plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
            network["features_per_stage"] = [QUICK_FEATURES] * network["n_stages"]
        (model / "fold_0").mkdir(parents=True)
        (model / "plans.json").write_text(json.dumps(plans))
        description = Path(folder, "nnunet", "raw", DATASET, "dataset.json").read_text()
        (model / "dataset.json").write_text(description)
        manager = PlansManager(plans)
        network = nnUNetTrainer.build_network_architecture(
            manager,
            manager.get_configuration(CONFIGURATION),
            1,
            manager.get_label_manager(json.loads(description)).num_segmentation_heads,
            enable_deep_supervision=False,
        )
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": TRAINER,
            "init_args": {"configuration": CONFIGURATION},
            "inference_allowed_mirroring_axes": MIRRORED,
        }
        torch.save(checkpoint, model / "fold_0" / "checkpoint_final.pth")


def predict(folder: str, mirroring: bool) -> dict[str, float]:
    """What `nnUNetv2_predict` does with one CT, from file to file: seconds and bytes.

    It writes a mask, and no probabilities: its default.

    Args:
        folder: of the benchmark, with the CT and the model.
        mirroring: whether each slice is seen four times, mirrored, as by default.
    """
    with _found_in(folder):
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        torch.set_num_threads(os.cpu_count() or 1)  # as its command does
        made = Path(folder, "nnunet", "predicted.nii.gz")
        made.unlink(missing_ok=True)
        with Watch() as watch:
            begin = time.perf_counter()
            predictor = nnUNetPredictor(
                use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False
            )
            predictor.initialize_from_trained_model_folder(str(_model(folder)), (0,))
            predictor.predict_from_files(
                [[str(Path(folder, FILES["ct"]))]],
                [str(Path(folder, "nnunet", "predicted"))],
                num_processes_preprocessing=PREDICTING_PROCESSES,
                num_processes_segmentation_export=PREDICTING_PROCESSES,
            )
            seconds = time.perf_counter() - begin
    assert made.exists()
    return {"seconds": seconds, "bytes": watch.bytes}


def _model(folder: str) -> Path:
    name = f"{TRAINER}__{PLANS}__{CONFIGURATION}"
    return Path(folder, "nnunet", "results", DATASET, name)


@contextlib.contextmanager
def _found_in(folder: str) -> Iterator[None]:
    """Tells nnU-Net where its folders are; what it says goes to standard error."""
    set_folders(Path(folder, "nnunet"))
    with contextlib.redirect_stdout(sys.stderr):
        yield
