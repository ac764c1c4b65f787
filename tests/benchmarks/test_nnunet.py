"""nnU-Net as a peer: its data set is the case that the others see, and it does its whole work."""

import json

import numpy as np
import pytest

from benchmarks import eight_cts, large_ct, nnunet, workers
from benchmarks.environment import installed
from vfseg.data.volume import read_geometry, read_labels


@pytest.fixture
def folder(tmp_path):
    """A small CT, its two fractures, and nnU-Net's data set of it."""
    large_ct.write_case(str(tmp_path), eight_cts.QUICK_SHAPE, eight_cts.QUICK_SPACING)
    nnunet.make_dataset(str(tmp_path), ["."])
    return tmp_path


def test_its_data_set_holds_the_ct_itself_and_fractures_as_one_class(folder):
    raw, name = folder / "nnunet" / "raw" / nnunet.DATASET, folder.name
    assert (raw / "imagesTr" / f"{name}_0000.nii.gz").resolve() == folder / "ct.nii.gz"
    marked, given = (
        read_labels(path)
        for path in (raw / "labelsTr" / f"{name}.nii.gz", folder / "fractures.nii.gz")
    )
    assert given.array.max() > 1
    np.testing.assert_array_equal(marked.array, given.array != 0)
    np.testing.assert_array_equal(marked.affine, given.affine)
    description = json.loads((raw / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "fracture": 1}
    assert description["numTraining"] == 1


@pytest.mark.skipif(installed("nnunetv2") is None, reason="needs the extra bench")
def test_it_plans_preprocesses_and_predicts_from_file_to_file(folder):
    prepared = workers.call("benchmarks.nnunet", "prepare", str(folder), 1)
    made = folder / "nnunet" / "preprocessed" / nnunet.DATASET
    assert (made / f"{nnunet.PLANS}_2d" / f"{folder.name}.b2nd").exists()
    assert prepared["stored"] == sum(p.stat().st_size for p in made.rglob("*") if p.is_file())
    workers.call("benchmarks.nnunet", "make_model", str(folder), True)
    predicted = workers.call("benchmarks.nnunet", "predict", str(folder), False)
    mask = folder / "nnunet" / "predicted.nii.gz"
    np.testing.assert_array_equal(
        read_geometry(mask).affine, read_geometry(folder / "ct.nii.gz").affine
    )
    assert set(np.unique(read_labels(mask).array)) <= {0, 1}
    slices = 4 * np.prod(eight_cts.QUICK_SHAPE)  # float32
    assert min(prepared["bytes"], predicted["bytes"]) > slices
