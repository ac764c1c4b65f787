"""Configs of benchmarks: changed copies, and no augmentation but the one that was asked for."""

import pytest

from benchmarks.configs import (
    QUICKSTART,
    WINDOWS_PER_STEP,
    augmented,
    constant,
    quickstart,
    read_config,
)
from vfseg.crops.settings import AugmentSettings


def test_a_variant_is_read_with_changes():
    config = read_config(QUICKSTART, "tiny", {"seed": 5})
    assert config.seed == 5
    assert config.generator.features == read_config(QUICKSTART, "tiny").generator.features


@pytest.mark.parametrize("targets", [1, 4])
def test_a_step_has_16_windows_in_any_form(targets):
    windows = quickstart(targets).windows
    assert (windows.targets, windows.targets * windows.batch_size) == (targets, WINDOWS_PER_STEP)


def test_only_the_given_strengths_augment():
    for strengths in ({}, {"noise": 9.0}):
        found = augmented(strengths).augment
        assert found == AugmentSettings(**strengths)


def test_a_constant_stands_beside_the_config(tmp_path):
    file = tmp_path / "config.py"
    file.write_text("HASH = 'abc'\n")
    assert constant(file, "HASH") == "abc"
    assert constant(file, "OTHER") is None
