"""A config is checked as a whole before anything is begun: all that is wrong with it, at once."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vfseg.data.prepare import PLANES
from vfseg.errors import UserError
from vfseg.inference.predict import FUSIONS
from vfseg.training.parallel import RUNNERS

DTYPES = ("float32", "bfloat16")


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
    rules += [Rule(f"losses.{name}", _from(0), "a number from 0") for name in config.losses]
    if not config.manifest:
        rules += [_count(f"phantom.{split}") for split in ("train", "validation", "test")]
    problems = {rule.key: found for rule in rules if (found := _problem(config, rule))}
    lines = list(problems.values())
    for keys, compare in _TOGETHER:
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


def _share(value: Any) -> bool:
    return 0 <= value <= 1


def _features(values: Any) -> bool:
    return len(values) > 0 and _wholes_from(1)(values)


def _hu_windows(windows: Any) -> bool:
    return len(windows) > 0 and all(-math.inf < low < high < math.inf for low, high in windows)


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
    _one_of("windows.plane", PLANES),
    Rule(
        "windows.length",
        lambda length: _whole_from(1)(length) and length % 2 == 1,
        "an odd number, so that a window has a middle slice",
    ),
    Rule("windows.stride_mm", _above_0, "a number of mm above 0"),
    _count("windows.targets"),
    _count("windows.batch_size"),
    Rule("windows.positive_share", _share, "a share from 0 to 1"),
    Rule("generator.features", _features, _CHANNELS),
    Rule("generator.recurrent_scales", _wholes_from(0), "whole numbers from 0"),
    _count("generator.recurrent_features"),
    Rule("discriminator.features", _features, _CHANNELS),
    _count("train.steps"),
    Rule("train.generator_learning_rate", _above_0, "a number above 0"),
    Rule("train.discriminator_learning_rate", _above_0, "a number above 0"),
    Rule("train.adversarial_from", _share, "a share of the steps, from 0 to 1"),
    _count("train.log_every"),
    _count("train.validate_every"),
    _one_of("inference.fusion", FUSIONS),
)


def _halving(config: ConfigDict) -> Iterator[str]:
    """Every scale but the first halves the slice."""
    plane, shape = config.windows.plane, tuple(config.prepare.crop_shape)
    factor = 2 ** (len(config.generator.features) - 1)
    in_plane = [size for axis, size in enumerate(shape) if axis != PLANES[plane]]
    if any(size % factor for size in in_plane):
        yield (
            f"config.prepare.crop_shape={shape}: expected three sizes (superior, anterior, right), "
            f"multiples of {factor} in the {plane} plane for these generator.features."
        )


def _targets(config: ConfigDict) -> Iterator[str]:
    """A run lies within a crop."""
    plane, targets = config.windows.plane, config.windows.targets
    slices = config.prepare.crop_shape[PLANES[plane]]
    if targets > slices:
        yield (
            f"config.windows.targets={targets}: expected at most the {slices} {plane} slices of a "
            f"crop, since config.prepare.crop_shape={tuple(config.prepare.crop_shape)}."
        )


def _recurrence(config: ConfigDict) -> Iterator[str]:
    """A ConvLSTM stands at a scale that there is, and once."""
    scales, count = tuple(config.generator.recurrent_scales), len(config.generator.features)
    if len(set(scales)) < len(scales) or any(scale >= count for scale in scales):
        yield (
            f"config.generator.recurrent_scales={scales}: expected different numbers from 0 (the "
            f"finest scale) to {count - 1}, since config.generator.features has {count} scales."
        )


def _shares(config: ConfigDict) -> Iterator[str]:
    """Someone is left to train on."""
    validation, test = config.split.validation, config.split.test
    if validation + test >= 1:
        yield (
            f"config.split.validation={validation} and config.split.test={test} leave no patient "
            "to train on. Lower them."
        )


def _fold(config: ConfigDict) -> Iterator[str]:
    """The fold that validates is one of them."""
    folds, fold = config.split.folds, config.split.fold
    if folds and fold >= folds:
        yield (
            f"config.split.fold={fold}: expected 0 to {folds - 1}, since "
            f"config.split.folds={folds}."
        )


_TOGETHER: tuple[tuple[tuple[str, ...], Callable[[ConfigDict], Iterator[str]]], ...] = (
    (("prepare.crop_shape", "windows.plane", "generator.features"), _halving),
    (("prepare.crop_shape", "windows.plane", "windows.targets"), _targets),
    (("generator.recurrent_scales", "generator.features"), _recurrence),
    (("split.validation", "split.test"), _shares),
    (("split.folds", "split.fold"), _fold),
)
