"""Trained models, opened again and again: read once for as long as their files are the same."""

import gc
import os

import jax
import numpy as np
import pytest

from tests.commands.test_predict import save_model
from vfseg.config.model import load_trained, open_model
from vfseg.errors import UserError


@pytest.fixture
def checkpoints(tmp_path):
    return save_model(tmp_path)


def test_a_model_that_is_opened_often_takes_no_more_memory(checkpoints):
    """Each reading left thousands of objects of Orbax's that nothing frees."""

    def objects():
        gc.collect()
        return len(gc.get_objects())

    for _ in range(3):
        open_model(checkpoints)
    before = objects()
    for _ in range(20):
        open_model(checkpoints)
    assert objects() - before < 20 * 5


def test_what_has_changed_is_read_again(checkpoints):
    first = load_trained(checkpoints)
    assert load_trained(checkpoints) is first
    assert load_trained(checkpoints / "0") is first
    os.utime(next((checkpoints / "0" / "state").rglob("manifest*")))
    second = load_trained(checkpoints)
    assert second is not first
    assert second.step == first.step
    jax.tree.map(np.testing.assert_array_equal, first.g_params, second.g_params)


def test_what_is_damaged_since_is_noticed(checkpoints):
    load_trained(checkpoints)
    largest = max((checkpoints / "0").rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged or incomplete"):
        load_trained(checkpoints)


def test_a_model_is_named_in_a_few_lines(checkpoints):
    """As a notebook shows what a cell ends with: not by millions of numbers."""
    model = open_model(checkpoints)
    shown = repr(model)
    assert f"steps={model.steps}" in shown
    assert "thresholds=" in shown
    assert len(shown) < 2000
