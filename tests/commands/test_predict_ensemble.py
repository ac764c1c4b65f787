"""Several models as one: the mean of their maps, and their spread in the uncertainty."""

import nibabel as nib
import numpy as np

from tests.commands.test_predict import VERSE_L1, run, write_case
from tests.config.test_folds import save_folds
from vfseg.config.folds import fold_workdir
from vfseg.inference.thresholds import Thresholds, save_thresholds

THRESHOLDS = Thresholds(slice=0.01, fused=0.01, vertebra=0.5)


def test_the_map_is_the_mean_and_the_spread_that_of_the_models(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vfseg.report.case.draw_case", lambda *_: None)  # no matter of pictures
    save_folds(tmp_path / "cv")
    save_thresholds(tmp_path / "cv", [0, 0], THRESHOLDS, "mean")
    ct, labels, _ = write_case(tmp_path, labels=(VERSE_L1,))  # one crop: two predictions
    ways = {"both": tmp_path / "cv"} | {str(n): fold_workdir(tmp_path / "cv", n) for n in range(2)}
    found = {}
    for name, model in ways.items():
        run(ct, tmp_path / name, model, vertebrae=labels)
        found[name] = nib.load(tmp_path / name / "probability.nii.gz").get_fdata()
    one, two = found["0"], found["1"]
    step = 1 / 65535  # in which maps are stored
    assert np.abs(one - two).max() > 10 * step
    np.testing.assert_allclose(found["both"], (one + two) / 2, atol=2 * step)
    printed = capsys.readouterr().out
    assert "2 models of steps 0, 0" in printed
    assert "standard deviation over 2 predictions of each crop" in printed
    assert not (tmp_path / "0" / "uncertainty.nii.gz").exists()
    spread = nib.load(tmp_path / "both" / "uncertainty.nii.gz").get_fdata()
    # The deviation of two numbers is half their distance, and at most half their sum; it is
    # interpolated after that, and so at least half the distance of what was interpolated before.
    assert (spread >= np.abs(one - two) / 2 - 2 * step).all()
    assert (spread <= (one + two) / 2 + 2 * step).all()
