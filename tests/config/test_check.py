"""Every bad value is named, with what was expected; all of them at once."""

import subprocess
import sys

import pytest

from tests.cohort import ROOT, tiny_config, tiny_values
from vfseg.config.config import Config, read_config
from vfseg.config.derive import load
from vfseg.errors import UserError
from vfseg.settings import fields_of
from vfseg.training.settings import SUPERVISED

ALL_PLANES = ("axial", "coronal", "sagittal")
NAN, INF = float("nan"), float("inf")
UNSUPERVISED = {f"losses.{name}": 0.0 for name in SUPERVISED}
SLICE_CLASSIFIER = {"network": "slice_classifier", "windows.length": 1, "stages.adversarial": 0}

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
    "windows.planes": (
        ["oblique", "axial", "", (), ("oblique",), ("axial", "axial"), 1],
        "one or more of axial, coronal, sagittal",
    ),
    "windows.length": ([4, 0, -1], "odd"),
    "windows.stride_mm": ([0.0, NAN], "mm above 0"),
    "windows.targets": ([0], "a whole number from 1"),
    "windows.batch_size": ([0, -4], "a whole number from 1"),
    "windows.positive_share": ([-0.1, 1.1, NAN], "from 0 to 1"),
    "generator.features": ([(), (4, 0), (4, 8.5), ("4", "8")], "from 1 for each scale"),
    "generator.recurrent_scales": ([(-1,), (0.5,)], "whole numbers from 0"),
    "generator.recurrent_features": ([0], "a whole number from 1"),
    "discriminator.features": ([(), (0,)], "from 1 for each scale"),
    "stages.recurrent": ([-1, 1.5], "a whole number from 0"),
    "train.schedule": (["step"], "one of cosine, constant_linear, polynomial"),
    "train.fine_tune_rate": ([0.0], "above 0"),
    "train.weight_decay": ([-1.0], "from 0"),
    "train.gradient_clip": ([-1.0], "from 0"),
    "train.ema_decay": ([-0.1, 1.0], "from 0 to below 1"),
    "train.pause_above": ([1.5], "from 0 to 1"),
    "train.patience": ([-1], "a whole number from 0"),
    "add_phantoms": ([1], "True or False"),
    "network": (["vgg"], "one of attention_unet, slice_classifier"),
    "generator.encoder": (["vgg"], "one of plain"),
    "pretrained.weights": ([1], "a text"),
    "pretrained.frozen_scales": ([-1], "a whole number from 0"),
    "generator.attention": ([1], "True or False"),
    "discriminator.spectral_norm": ([1], "True or False"),
    "losses.adversarial_form": (["log"], "one of cross_entropy, least_squares, hinge"),
    "losses.adversarial_everywhere": ([1], "True or False"),
    "losses.focal": ([-1.0], "from 0"),
    "train.generator_learning_rate": ([0.0, -1e-3, NAN], "above 0"),
    "train.discriminator_learning_rate": ([0.0, INF], "above 0"),
    "train.log_every": ([0], "a whole number from 1"),
    "train.save_every": ([0], "a whole number from 1"),
    "train.validate_every": ([0], "a whole number from 1"),
    "inference.fusion": (["median"], "mean, centre, confidence, vote, maximum, product"),
    "inference.planes": (
        ["axial", "", ("oblique",), ("axial", "axial"), 1],
        "or () for those of windows.planes",
    ),
    "inference.flips": ([1], "True or False"),
    "inference.shifts": ([-1, 9], "from 0 (off) to 8"),
    "losses.adversarial": ([-0.1], "from 0"),
    "losses.cross_entropy": ([NAN, INF], "from 0"),
    "prepare.vertebra_scheme": (["vers", 1], "one of verse, "),
    "prepare.boxes_inclusive": ([1], "True or False"),
    "generator.bidirectional": ([0], "True or False"),
    "losses.r1": ([-1.0], "from 0"),
    "losses.l1": ([-1.0], "from 0"),
    "losses.dice": ([-1.0, "1"], "from 0"),
    "losses.focal_tversky": ([-1.0], "from 0"),
    "stages.attention": ([-1], "a whole number from 0"),
    "stages.adversarial": ([True], "a whole number from 0"),
    "stages.fine_tune": (["1"], "a whole number from 0"),
    "manifest": ([None, 1], "a text"),
    "phantom.train": ([0], "a whole number from 1"),
    "phantom.validation": ([0], "a whole number from 1"),
    "phantom.test": ([0], "a whole number from 1"),
}


def problems(values):
    """Lines of the message."""
    with pytest.raises(UserError) as raised:
        read_config(values)
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [(key, value, said) for key, (values, said) in BAD.items() for value in values],
)
def test_a_bad_value_is_named(key, value, said):
    (line,) = problems(tiny_values(**{key: value}))
    assert line.startswith(f"config.{key}={value!r}: expected ")
    assert said in line


def test_every_setting_has_a_bad_value():
    """The settings of the synthetic cases and of the augmentation have theirs beside them."""
    elsewhere = ("phantom", "virtual_fractures", "painted", "augment")
    sections = [(name, kind) for name, (kind, rule) in fields_of(Config).items() if not rule]
    keys = {
        f"{section}.{name}" if section else name
        for section, kind in [("", Config), *sections]
        for name, (_, rule) in fields_of(kind).items()
        if rule and section not in elsewhere
    }
    assert keys <= BAD.keys()


# Settings each right by itself; the tiny config has crops of 32, two scales and two targets.
APART = [
    ({"prepare.crop_shape": (31, 30, 30)}, "config.prepare.crop_shape=(31, 30, 30)", "of 2 in"),
    ({"generator.features": (1,) * 7}, "config.prepare.crop_shape=(32, 32, 32)", "multiples of 64"),
    (
        {"prepare.crop_shape": (31, 32, 32), "inference.planes": ("sagittal",)},
        "config.prepare.crop_shape=(31, 32, 32)",
        "multiples of 2 in the sagittal plane",
    ),
    (
        {"prepare.crop_shape": (31, 31, 31), "windows.planes": ("coronal", "axial")},
        "config.prepare.crop_shape=(31, 31, 31)",
        "multiples of 2 in the coronal and axial plane",
    ),
    (
        {"prepare.crop_shape": (32, 32, 48), "windows.planes": ALL_PLANES},
        "config.prepare.crop_shape=(32, 32, 48)",
        "three equal sizes",
    ),
    (
        {"windows.targets": 33, "windows.planes": ALL_PLANES},
        "config.windows.targets=33",
        "at most the 32 axial slices",
    ),
    ({"windows.targets": 33}, "config.windows.targets=33", "at most the 32 sagittal slices"),
    ({"generator.recurrent_scales": (2,)}, "config.generator.recurrent_scales=(2,)", "to 1,"),
    ({"generator.recurrent_scales": (1, 1)}, "config.generator.recurrent_scales", "different"),
    ({"split.validation": 0.5, "split.test": 0.5}, "config.split.validation=0.5", "no patient"),
    ({"split.folds": 3, "split.fold": 3}, "config.split.fold=3", "0 to 2"),
]


@pytest.mark.parametrize(("changes", "named", "said"), APART)
def test_what_does_not_fit_together_is_named(changes, named, said):
    (line,) = problems(tiny_values(**changes))
    assert line.startswith(named)
    assert said in line


@pytest.mark.parametrize(
    "changes",
    [
        {"prepare.crop_shape": (32, 32, 31)},  # sagittal slices may be of any number
        {"windows.targets": 32},
        {"windows.targets": 32, "windows.planes": ALL_PLANES},
        {"prepare.crop_shape": (31, 32, 32), "windows.planes": ("axial",)},
        {"generator.recurrent_scales": ()},
        {"split.folds": 3, "split.fold": 2},
        {"split.fold": 2},  # without folds it means nothing
        {"train.fine_tune_rate": 0.1},  # without that stage it means nothing
        {"stages.fine_tune": 2, "train.fine_tune_rate": 2e-3},  # the rate before
        {**UNSUPERVISED, **SLICE_CLASSIFIER, "losses.focal": 1.0},
        {"windows.length": 1},
        {"stages.adversarial": 0, "windows.positive_share": 0.0, "losses.adversarial": 0.0},
        {"manifest": "cases.csv", "phantom.train": 0},
        {"painted.label_maps": "maps", "phantom.train": 0},
        {"compute_dtype": "bfloat16", "parallel": "pmap", "inference.fusion": "vote"},
    ],
)
def test_values_at_the_limit_pass(changes):
    read_config(tiny_values(**changes))


def test_all_problems_are_said_at_once_and_none_twice():
    changes = {"train.log_every": 0, "windows.planes": ("oblique",), "windows.targets": 99}
    lines = problems(tiny_values(**changes))
    assert [line.split("=")[0] for line in lines] == [
        "config.windows.planes",
        "config.train.log_every",
    ]


def test_a_missing_setting_is_named():
    values = tiny_values()
    del values.train.log_every
    assert problems(values) == [
        "config.train.log_every is missing: expected a whole number from 1."
    ]
    del values.train
    (line,) = problems(values)
    assert line.startswith(
        "config.train is missing: expected a section with generator_learning_rate"
    )


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("train.genrator_learning_rate", "train.generator_learning_rate"),
        ("stages.finetune", "stages.fine_tune"),
        ("losses.dise", "losses.dice"),
        ("inference.flip", "inference.flips"),
        ("discriminator.spectral", "discriminator.spectral_norm"),
        ("augment.rotaton", "augment.rotation"),
        ("windows.strde_mm", "windows.stride_mm"),
        ("windos.length", "windows"),
        ("phantom.tran", "phantom.train"),
        ("virtual_fractures.variant", "virtual_fractures.variants"),
        ("split.fodls", "split.folds"),
        ("sed", "seed"),
    ],
)
def test_a_misspelt_setting_in_a_file_is_named_with_its_nearest_relative(key, near):
    (line,) = problems(tiny_values(**{key: 1}))
    wrong = key if "." in near else key.split(".")[0]
    assert line == f"config.{wrong}: no such setting. Did you mean config.{near}?"


@pytest.mark.parametrize("value", [3, "x", None, (1, 2)])
def test_a_section_that_is_none_is_named(value):
    (line,) = problems(tiny_values(train=value))
    assert line.startswith(f"config.train={value!r}: expected a section with")


def test_a_config_reads_what_it_has_written():
    config = tiny_config()
    assert read_config(config.to_dict()) == config


def test_what_does_not_fit_together_within_a_section_is_said_beside_the_rest():
    lines = problems(tiny_values(**{"split.validation": 0.6, "split.test": 0.6, "seed": -1}))
    assert lines == [
        "config.seed=-1: expected a whole number from 0.",
        "config.split.validation=0.6 and config.split.test=0.6 leave no patient to train on. "
        "Lower them.",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda p: p.stem)
def test_configs_of_the_project_pass(path):
    assert isinstance(read_config(load(path)), Config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pretrained.weights": "w.pth"}, "'plain' has no pretrained weights"),
        ({"pretrained.frozen_scales": 1}, "expected 0 to 0"),
        ({"generator.encoder": "resnet18", "generator.features": (4,)}, "2 to 6 scales"),
        ({"network": "slice_classifier"}, "config.windows.length=3: the slice classifier needs 1"),
        (
            {"network": "slice_classifier", "windows.length": 1},
            "config.stages.adversarial=2: the slice classifier needs 0",
        ),
        ({"stages.recurrent": 0, "stages.adversarial": 0}, "config.stages: all are 0"),
        ({"windows.positive_share": 0.1}, "of config.windows.batch_size=4 runs rounds to 0"),
        ({"discriminator.features": (4,) * 7}, "expected multiples of 64"),
        (
            {"stages.fine_tune": 2, "train.fine_tune_rate": 0.1},
            "config.train.fine_tune_rate=0.1: expected at most config.train.generator_learning",
        ),
        (UNSUPERVISED, "config.losses: l1, dice, cross_entropy, "),
        ({**UNSUPERVISED, **SLICE_CLASSIFIER}, "are all 0, so nothing is learnt"),
    ],
)
def test_networks_and_stages_fit_together(changes, said):
    values = tiny_values(**{"prepare.crop_shape": (32, 32, 32), **changes})
    assert any(said in line for line in problems(values)), problems(values)


def test_a_config_is_read_without_what_computes():
    """So that what is wrong with it is said at once; that holds for the settings of all folders."""
    code = "import sys, vfseg.config.config; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    paths = [path.relative_to(ROOT) for path in (ROOT / "vfseg").rglob("settings.py")]
    assert len(paths) > 5
    assert {".".join(path.with_suffix("").parts) for path in paths} <= imported
    heavy = {"jax", "flax", "optax", "nibabel", "pydicom", "scipy", "tensorstore", "matplotlib"}
    assert not heavy & imported
