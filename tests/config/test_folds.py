"""The models of a cross-validation, opened as one ensemble."""

import jax
import numpy as np
import pytest

from tests.commands.test_predict import save_model
from vfseg.config.folds import fold_workdir, folds_of
from vfseg.config.model import load_members, open_model
from vfseg.errors import UserError
from vfseg.inference.thresholds import Thresholds, save_thresholds

THRESHOLDS = Thresholds(slice=0.2, fused=0.3, vertebra=0.4)


def save_folds(workdir, folds=2, trained=(0, 1)):
    """Two models, the second of which has parameters half as large."""
    for fold in trained:
        changes = {"split.folds": folds, "split.fold": fold}
        save_model(fold_workdir(workdir, fold), 1 / (1 + fold), **changes)


def test_the_members_are_the_models_of_the_folds_with_thresholds_of_all(tmp_path):
    save_folds(tmp_path)
    save_thresholds(tmp_path, [0, 0], THRESHOLDS, "mean")
    model = open_model(tmp_path)
    assert model.steps == (0, 0)
    assert model.thresholds == THRESHOLDS
    assert model.predictions == 2 * len(model.predictor.views)
    for fold, member in enumerate(model.members):
        (alone,) = open_model(fold_workdir(tmp_path, fold)).members
        jax.tree.map(np.testing.assert_array_equal, member, alone)
    large, small = (np.abs(jax.tree.leaves(member)[-1]).sum() for member in model.members)
    assert large == pytest.approx(2 * small)


def test_folds_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("fold-10", "fold-9", "fold-x", "other-1"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "fold-11").mkdir()
    assert [path.name for path in folds_of(tmp_path)] == ["fold-9", "fold-10"]
    (tmp_path / "checkpoints").mkdir()  # a run of its own
    assert folds_of(tmp_path) == []


def test_without_thresholds_of_all_there_is_no_prediction(tmp_path):
    save_folds(tmp_path)
    with pytest.raises(UserError, match=r"no thresholds of step \[0, 0\].*--mode evaluate --folds"):
        open_model(tmp_path)
    save_thresholds(tmp_path, [0, 2], THRESHOLDS, "mean")
    with pytest.raises(UserError, match=r"chosen for step \[0, 2\], not for step \[0, 0\]"):
        open_model(tmp_path)


def test_a_fold_that_is_missing_is_noticed(tmp_path):
    save_folds(tmp_path, folds=3)
    with pytest.raises(UserError, match=r"2 folds of 3 trained"):
        load_members(tmp_path)


def test_folds_of_other_settings_are_no_ensemble(tmp_path):
    save_folds(tmp_path, trained=(0,))
    save_model(fold_workdir(tmp_path, 1), **{"split.folds": 2, "split.fold": 1, "seed": 5})
    with pytest.raises(UserError, match=r"fold-1: trained with other settings than .*fold-0"):
        load_members(tmp_path)
