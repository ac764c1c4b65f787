"""Every bad value is named, with what was expected; all of them at once."""

import runpy

import pytest

from tests.cohort import ROOT, tiny_config
from vfseg.config_check import RULES, check_config
from vfseg.errors import UserError

NAN, INF = float("nan"), float("inf")

# A few bad values of each setting; what the message says beside naming key and value.
BAD = {
    "seed": ([-1], "a whole number from 0"),
    "parallel": (["tpu"], "jit, pmap"),
    "compute_dtype": (["float16", ""], "float32, bfloat16"),
    "hu_windows": ([(), ((500, -100),), ((0, 0),), ((0, NAN),), ((1, 2, 3),), (5,)], "low below"),
    "prepare.voxel_spacing": ([0.0, -1.0, NAN, INF], "mm above 0"),
    "prepare.crop_shape": ([(32, 32), (32, 32, 0), (32, 32, 2.5)], "three sizes"),
    "split.validation": ([-0.1, 1.0, NAN], "from 0 to below 1"),
    "split.test": ([-0.1, 1.0, NAN], "from 0 to below 1"),
    "split.folds": ([-1, 1], "0 (none), or 2 and more"),
    "split.fold": ([-1], "a whole number from 0"),
    "windows.plane": (["oblique", ""], "axial, coronal, sagittal"),
    "windows.length": ([4, 0, -1], "odd"),
    "windows.stride_mm": ([0.0, NAN], "mm above 0"),
    "windows.targets": ([0], "a whole number from 1"),
    "windows.batch_size": ([0, -4], "a whole number from 1"),
    "windows.positive_share": ([-0.1, 1.1, NAN], "from 0 to 1"),
    "generator.features": ([(), (4, 0), (4, 8.5), ("4", "8")], "from 1 for each scale"),
    "generator.recurrent_scales": ([(-1,), (0.5,)], "whole numbers from 0"),
    "generator.recurrent_features": ([0], "a whole number from 1"),
    "discriminator.features": ([(), (0,)], "from 1 for each scale"),
    "train.steps": ([0], "a whole number from 1"),
    "train.generator_learning_rate": ([0.0, -1e-3, NAN], "above 0"),
    "train.discriminator_learning_rate": ([0.0, INF], "above 0"),
    "train.adversarial_from": ([-0.1, 1.5], "from 0 to 1"),
    "train.log_every": ([0], "a whole number from 1"),
    "train.validate_every": ([0], "a whole number from 1"),
    "inference.fusion": (["median"], "mean, vote"),
    "losses.adversarial": ([-0.1], "from 0"),
    "losses.cross_entropy": ([NAN, INF], "from 0"),
    "phantom.train": ([0], "a whole number from 1"),
    "phantom.validation": ([0], "a whole number from 1"),
    "phantom.test": ([0], "a whole number from 1"),
}


def problems(config):
    """Lines of the message."""
    with pytest.raises(UserError) as raised:
        check_config(config)
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [(key, value, said) for key, (values, said) in BAD.items() for value in values],
)
def test_a_bad_value_is_named(key, value, said):
    (line,) = problems(tiny_config(**{key: value}))
    assert line.startswith(f"config.{key}={value!r}: expected ")
    assert said in line


def test_every_rule_has_a_bad_value():
    assert {rule.key for rule in RULES} <= BAD.keys()


# Settings each right by itself; the tiny config has crops of 32, two scales and two targets.
APART = [
    ({"prepare.crop_shape": (31, 30, 30)}, "config.prepare.crop_shape=(31, 30, 30)", "of 2 in"),
    ({"generator.features": (1,) * 7}, "config.prepare.crop_shape=(32, 32, 32)", "multiples of 64"),
    ({"windows.targets": 33}, "config.windows.targets=33", "at most the 32 sagittal slices"),
    ({"generator.recurrent_scales": (2,)}, "config.generator.recurrent_scales=(2,)", "to 1,"),
    ({"generator.recurrent_scales": (1, 1)}, "config.generator.recurrent_scales", "different"),
    ({"split.validation": 0.5, "split.test": 0.5}, "config.split.validation=0.5", "no patient"),
    ({"split.folds": 3, "split.fold": 3}, "config.split.fold=3", "0 to 2"),
]


@pytest.mark.parametrize(("changes", "named", "said"), APART)
def test_what_does_not_fit_together_is_named(changes, named, said):
    (line,) = problems(tiny_config(**changes))
    assert line.startswith(named)
    assert said in line


@pytest.mark.parametrize(
    "changes",
    [
        {"prepare.crop_shape": (32, 32, 31)},  # sagittal slices may be of any number
        {"windows.targets": 32},
        {"generator.recurrent_scales": ()},
        {"split.folds": 3, "split.fold": 2},
        {"split.fold": 2},  # without folds it means nothing
        {"windows.length": 1},
        {"train.adversarial_from": 1.0, "windows.positive_share": 0.0, "losses.adversarial": 0.0},
        {"manifest": "cases.csv", "phantom.train": 0},
        {"compute_dtype": "bfloat16", "parallel": "pmap", "inference.fusion": "vote"},
    ],
)
def test_values_at_the_limit_pass(changes):
    check_config(tiny_config(**changes))


def test_all_problems_are_said_at_once_and_none_twice():
    changes = {"train.log_every": 0, "windows.plane": "oblique", "windows.targets": 99}
    lines = problems(tiny_config(**changes))
    assert [line.split("=")[0] for line in lines] == [
        "config.windows.plane",
        "config.train.log_every",
    ]


def test_a_missing_setting_is_named():
    config = tiny_config()
    del config.train.log_every
    assert problems(config) == [
        "config.train.log_every is missing: expected a whole number from 1."
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda p: p.stem)
def test_configs_of_the_project_pass(path):
    check_config(runpy.run_path(str(path))["get_config"]())


def test_the_tiny_config_passes():
    check_config(tiny_config())
