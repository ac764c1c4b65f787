"""`--vertebrae auto` through TotalSegmentator itself: all of it but the weights of its networks.

Beside the tests' own packages it needs TotalSegmentator, which brings PyTorch and nnU-Net, 2 GB:

    pip install -e '.[test]' torch==2.13.0 'TotalSegmentator>=2'
    python -m pytest tests/data/test_totalsegmentator.py
"""

import importlib.util
import json
import re

import nibabel as nib
import numpy as np
import pytest

from vfseg.data.schemes import SPINE_IDS
from vfseg.data.vertebra_labels import segment_vertebrae
from vfseg.data.volume import read_labels

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("totalsegmentator") is None,
        reason="needs TotalSegmentator",
    ),
    pytest.mark.filterwarnings("default"),  # of the many packages that it brings
]
SPACING = 1.5  # of the network for vertebrae, so that nothing is interpolated before it
AFFINE = np.diag([-SPACING, -SPACING, SPACING, 1.0])
HU_OF_A_LABEL = 40
PARTS = ("part1_organs", "part2_vertebrae", "part3_cardiac", "part4_muscles", "part5_ribs")
WEIGHTS = [f"Dataset{291 + n}_TotalSegmentator_{part}_1559subj" for n, part in enumerate(PARTS)]
WEIGHTS[1] = WEIGHTS[1].replace("1559", "1532")
WEIGHTS.append("Dataset298_TotalSegmentator_total_6mm_1559subj")
_NO_RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}


def spine():
    """Blocks of T12 to L3 one above the other, each as bright as its number says: HU, labels."""
    labels = np.zeros((64, 64, 96), np.uint8)
    for place, label in enumerate((29, 30, 31, 32)):
        labels[20:44, 24:44, 12 + 20 * place : 28 + 20 * place] = label
    return np.where(labels, HU_OF_A_LABEL * labels.astype(np.int16), -1000).astype(np.int16), labels


def plans(spacing):
    """Of a network that sees HU as they are, in voxels of a spacing in mm."""
    window = {"mean": 0, "std": 1, "percentile_00_5": -3000, "percentile_99_5": 3000}
    resampling = {
        f"resampling_fn_{what}{end}": value
        for what in ("data", "seg", "probabilities")
        for end, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", _NO_RESAMPLING | {"is_seg": what == "seg"}),
        )
    }
    return {
        "dataset_name": "stub",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": window},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "stub",
                "preprocessor_name": "DefaultPreprocessor",
                "patch_size": [32, 32, 32],
                "spacing": [spacing] * 3,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **resampling,
                "architecture": {
                    "network_class_name": "none",
                    "arch_kwargs": {},
                    "_kw_requires_import": [],
                },
            }
        },
    }


@pytest.fixture
def totalsegmentator(monkeypatch, tmp_path):
    """Its folders, with a network in place of each that would be downloaded, and no network else.

    Each names a voxel by its HU. Gives the numbers of those that were asked.
    """
    import requests
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from totalsegmentator.map_to_binary import class_map, class_map_5_parts

    home, weights = tmp_path / "home", tmp_path / "weights"
    for name in WEIGHTS:
        (weights / name).mkdir(parents=True)
    home.mkdir()
    config = {"totalseg_id": "x", "send_usage_stats": False, "prediction_counter": 0}
    (home / "config.json").write_text(json.dumps({**config, "statistics_disclaimer_shown": True}))
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(home))
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(weights))
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(weights))
    monkeypatch.setattr(
        requests, "request", lambda *_, **__: pytest.fail("it asks for something on the internet")
    )
    names = {
        298: class_map["total"],
        292: class_map_5_parts["class_map_part_vertebrae"],
    }
    number_of = {name: number for number, name in class_map["total"].items()}
    asked = []

    class ByBrightness(torch.nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.classes = classes

        def forward(self, x):
            logits = torch.zeros((x.shape[0], len(self.classes) + 1, *x.shape[2:]))
            logits[:, 0] = 0.5
            for place, name in self.classes.items():
                near = (x[:, 0] - HU_OF_A_LABEL * number_of[name]).abs() < HU_OF_A_LABEL / 4
                logits[:, place] = near.float()
            return logits

    def initialise(self, folder, use_folds, checkpoint_name="checkpoint_final.pth"):
        task = int(re.search(r"Dataset(\d+)", str(folder))[1])
        asked.append(task)
        manager = PlansManager(plans(6.0 if task == 298 else SPACING))
        labels = {"background": 0} | {name: place for place, name in names[task].items()}
        network = ByBrightness(names[task])
        self.manual_initialization(
            *(network, manager, manager.get_configuration("3d_fullres"), [network.state_dict()]),
            {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"},
            *("nnUNetTrainer", None),
        )

    monkeypatch.setattr(nnUNetPredictor, "initialize_from_trained_model_folder", initialise)
    return asked


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct"])
def test_the_map_is_that_of_its_networks_with_the_numbers_of_version_2(
    tmp_path, totalsegmentator, name
):
    """Also where the name of the file does not say what it is."""
    ct, labels = spine()
    nib.save(nib.Nifti1Image(ct, AFFINE), tmp_path / "ct.nii.gz")
    path = (tmp_path / "ct.nii.gz").rename(tmp_path / name)
    segment_vertebrae(path, tmp_path / "vertebrae.nii.gz")
    assert totalsegmentator == [298, 292], "the rough one, then that of the vertebrae"
    image = nib.load(tmp_path / "vertebrae.nii.gz")
    np.testing.assert_allclose(image.affine, AFFINE)
    np.testing.assert_array_equal(np.asarray(image.dataobj), labels)
    found = np.unique(read_labels(tmp_path / "vertebrae.nii.gz").array)
    ours = {number: level for number, level in SPINE_IDS["totalsegmentator"].items()}
    assert [ours[number] for number in found if number] == ["L3", "L2", "L1", "T12"]
