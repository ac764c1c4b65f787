"""A config is checked as a whole before anything is begun: all that is wrong with it, at once."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vfseg.config.fit import TOGETHER
from vfseg.data.cases import SPLITS
from vfseg.data.geometry import PLANE_AXES
from vfseg.errors import UserError
from vfseg.inference.fusion import FUSIONS
from vfseg.models.encoders import ENCODERS
from vfseg.training.losses import ADVERSARIAL_FORMS
from vfseg.training.parallel import RUNNERS
from vfseg.training.recipe import NETWORKS
from vfseg.training.schedules import SCHEDULES
from vfseg.training.stages import STAGES
from vfseg.training.step import SUPERVISED

LOSS_WEIGHTS = ("adversarial", "r1", *SUPERVISED)
DTYPES = ("auto", "float32", "bfloat16")


class Rule(NamedTuple):
    """What one setting must be.

    Attributes:
        key: dotted, as on the command line after `--config.`.
        holds: of the value; may raise TypeError or ValueError for one of another kind.
        words: what was expected.
    """

    key: str
    holds: Callable[[Any], bool]
    words: str


def check_config(config: ConfigDict) -> None:
    """Checks each setting, then what fits only together.

    Settings that belong together are compared only where each of them is right by itself. What
    depends on the cases or on the machine is checked where these are known.

    Args:
        config: resolved.

    Raises:
        UserError: one line for each wrong or missing setting.
    """
    rules = list(RULES)
    rules += [Rule(f"losses.{name}", _from(0), "a number from 0") for name in LOSS_WEIGHTS]
    rules += [Rule(f"stages.{name}", _whole_from(0), "a whole number from 0") for name in STAGES]
    if not config.manifest:
        rules += [_count(f"phantom.{split}") for split in SPLITS]
    problems = {rule.key: found for rule in rules if (found := _problem(config, rule))}
    lines = list(problems.values())
    for keys, compare in TOGETHER:
        if not problems.keys() & set(keys):
            lines += compare(config)
    if lines:
        raise UserError("\n".join(lines))


def _problem(config: ConfigDict, rule: Rule) -> str | None:
    value: Any = config
    for name in rule.key.split("."):
        if name not in value:
            return f"config.{rule.key} is missing: expected {rule.words}."
        value = value[name]
    try:
        holds = rule.holds(value)
    except (TypeError, ValueError):
        holds = False
    return None if holds else f"config.{rule.key}={value!r}: expected {rule.words}."


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_from(low: int) -> Callable[[Any], bool]:
    return lambda value: _whole(value) and value >= low


def _wholes_from(low: int) -> Callable[[Any], bool]:
    return lambda values: all(_whole(value) and value >= low for value in values)


def _from(low: float) -> Callable[[Any], bool]:
    return lambda value: math.isfinite(value) and value >= low


def _above_0(value: Any) -> bool:
    return math.isfinite(value) and value > 0


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _share(value: Any) -> bool:
    return 0 <= value <= 1


def _features(values: Any) -> bool:
    return len(values) > 0 and _wholes_from(1)(values)


def _hu_windows(windows: Any) -> bool:
    return len(windows) > 0 and all(-math.inf < low < high < math.inf for low, high in windows)


def _planes(names: Any) -> bool:
    known = not isinstance(names, str) and set(names) <= PLANE_AXES.keys()
    return known and 0 < len(names) == len(set(names))


def _count(key: str) -> Rule:
    return Rule(key, _whole_from(1), "a whole number from 1")


def _one_of(key: str, names: Any) -> Rule:
    return Rule(key, lambda value: value in tuple(names), f"one of {', '.join(names)}")


_CHANNELS = "one whole number from 1 for each scale, at least one"
_PATIENTS = "a share from 0 to below 1"

RULES = (
    Rule("seed", _whole_from(0), "a whole number from 0"),
    _one_of("parallel", RUNNERS),
    _one_of("compute_dtype", DTYPES),
    Rule("hu_windows", _hu_windows, "pairs (low, high) in HU, low below high, at least one"),
    Rule("prepare.voxel_spacing", _above_0, "a number of mm above 0"),
    Rule(
        "prepare.crop_shape",
        lambda shape: len(shape) == 3 and _wholes_from(1)(shape),
        "three sizes (superior, anterior, right), whole numbers from 1",
    ),
    Rule("split.validation", lambda share: 0 <= share < 1, _PATIENTS),
    Rule("split.test", lambda share: 0 <= share < 1, _PATIENTS),
    Rule("split.folds", lambda n: _whole(n) and (n == 0 or n >= 2), "0 (none), or 2 and more"),
    Rule("split.fold", _whole_from(0), "a whole number from 0"),
    Rule("windows.planes", _planes, f"one or more of {', '.join(PLANE_AXES)}, each once"),
    Rule(
        "windows.length",
        lambda length: _whole_from(1)(length) and length % 2 == 1,
        "an odd number, so that a window has a middle slice",
    ),
    Rule("windows.stride_mm", _above_0, "a number of mm above 0"),
    _count("windows.targets"),
    _count("windows.batch_size"),
    Rule("windows.positive_share", _share, "a share from 0 to 1"),
    Rule("add_phantoms", _is_bool, "True or False"),
    _one_of("network", NETWORKS),
    _one_of("generator.encoder", ENCODERS),
    Rule("pretrained.weights", lambda path: isinstance(path, str), "a file, 'package' or empty"),
    Rule("pretrained.frozen_scales", _whole_from(0), "a whole number from 0"),
    Rule("generator.features", _features, _CHANNELS),
    Rule("generator.attention", _is_bool, "True or False"),
    Rule("generator.recurrent_scales", _wholes_from(0), "whole numbers from 0"),
    _count("generator.recurrent_features"),
    Rule("discriminator.features", _features, _CHANNELS),
    Rule("discriminator.spectral_norm", _is_bool, "True or False"),
    _one_of("losses.adversarial_form", ADVERSARIAL_FORMS),
    Rule("losses.adversarial_everywhere", _is_bool, "True or False"),
    Rule("train.generator_learning_rate", _above_0, "a number above 0"),
    Rule("train.fine_tune_rate", _above_0, "a number above 0"),
    _one_of("train.schedule", SCHEDULES),
    Rule("train.weight_decay", _from(0), "a number from 0"),
    Rule("train.gradient_clip", _from(0), "a number from 0; 0 is off"),
    Rule("train.ema_decay", lambda decay: 0 <= decay < 1, "a number from 0 to below 1"),
    Rule("train.pause_above", _share, "an accuracy from 0 to 1"),
    Rule("train.patience", _whole_from(0), "spans of train.log_every steps, a whole number from 0"),
    Rule("train.discriminator_learning_rate", _above_0, "a number above 0"),
    _count("train.log_every"),
    _count("train.save_every"),
    _count("train.validate_every"),
    Rule(
        "inference.planes",
        lambda names: _planes(names) or (names != "" and len(names) == 0),
        f"some of {', '.join(PLANE_AXES)}, each once, or () for those of windows.planes",
    ),
    _one_of("inference.fusion", FUSIONS),
    Rule("inference.flips", _is_bool, "True or False"),
    Rule(
        "inference.shifts",
        lambda voxels: _whole(voxels) and 0 <= voxels <= 8,
        "voxels, a whole number from 0 (off) to 8",
    ),
)
