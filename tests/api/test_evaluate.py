"""`vfseg.evaluate`: figures of one case, and intervals of several."""

import nibabel as nib
import numpy as np
import pytest

import vfseg
from tests.commands.test_predict import save_model, write_case
from vfseg.errors import UserError
from vfseg.evaluation.metrics import dice


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A prediction of an untrained model."""
    folder = tmp_path_factory.mktemp("case")
    ct, labels, _ = write_case(folder)
    options = vfseg.Options(vertebra_scheme="verse")
    return vfseg.predict(ct, labels, model=save_model(folder), options=options)


def moved(found, by):
    """The predicted mask, moved by voxels along the first axis of its file."""
    mask = np.asarray(found.mask.dataobj)
    return np.roll(mask, by, axis=0), found.mask.affine


def test_its_own_mask_is_all_that_can_be_asked_for(found):
    figures = vfseg.evaluate(found, found.mask)
    for name in ("dice", "precision", "recall"):
        assert figures["voxel"][name] == {"value": 1.0, "ci95": None, "n": 1}
    assert figures["lesion"]["sensitivity"]["value"] == 1
    assert figures["vertebra"]["vertebrae"] == 2
    assert "slice" not in figures


def test_voxels_count_in_the_crops(found, tmp_path):
    """Dice by hand, of masks: the truth of this case lies in the crops."""
    truth, affine = moved(found, 2)
    nib.save(nib.Nifti1Image(truth, affine), tmp_path / "truth.nii.gz")
    figures = vfseg.evaluate(found, tmp_path / "truth.nii.gz")
    mask = np.asarray(found.mask.dataobj)
    both = int((mask & truth).sum())
    counts = np.array([both, mask.sum() - both, truth.sum() - both, 0])
    assert figures["voxel"]["dice"]["value"] == pytest.approx(float(dice(counts)), abs=1e-6)


def test_of_five_patients_there_are_intervals(found):
    truths = [moved(found, by) for by in range(5)]
    figures = vfseg.evaluate([found] * 5, truths)
    pooled = figures["voxel"]["dice"]
    assert pooled["n"] == 5
    low, high = pooled["ci95"]
    assert low < pooled["value"] < high
    of_two = vfseg.evaluate([found] * 5, truths, patients=["a", "a", "b", "b", "b"])
    assert of_two["voxel"]["dice"] == {"value": pooled["value"], "ci95": None, "n": 2}


def test_what_does_not_go_together_is_named(found):
    with pytest.raises(UserError, match=r"2 predictions, 1 truth, 2 patients\. Give one of each"):
        vfseg.evaluate([found, found], [found.mask])
    with pytest.raises(UserError, match="2 predictions, 1 truth, 2 patients"):
        vfseg.evaluate([found, found], "a_path.nii.gz")
    with pytest.raises(TypeError, match=r"expected what vfseg\.predict gives, got str"):
        vfseg.evaluate("probability.nii.gz", "truth.nii.gz")
    with pytest.raises(UserError, match="0 predictions"):
        vfseg.evaluate([], [])
    small = np.zeros((3, 3, 3), np.uint8), found.mask.affine
    with pytest.raises(UserError, match=r"truth0\.nii does not lie on the grid"):
        vfseg.evaluate(found, small)
