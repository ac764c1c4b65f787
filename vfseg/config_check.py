"""A config is checked as a whole before anything is begun: all that is wrong with it, at once."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vfseg.data.prepare import PLANES
from vfseg.data.splits import SPLITS
from vfseg.errors import UserError
from vfseg.inference.fusion import FUSIONS
from vfseg.models.encoders import ENCODERS, TRUNK_SCALES
from vfseg.training.losses import ADVERSARIAL_FORMS
from vfseg.training.parallel import RUNNERS
from vfseg.training.recipe import NETWORKS
from vfseg.training.schedules import SCHEDULES
from vfseg.training.stages import STAGES, total_steps
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


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _share(value: Any) -> bool:
    return 0 <= value <= 1


def _features(values: Any) -> bool:
    return len(values) > 0 and _wholes_from(1)(values)


def _hu_windows(windows: Any) -> bool:
    return len(windows) > 0 and all(-math.inf < low < high < math.inf for low, high in windows)


def _planes(names: Any) -> bool:
    known = not isinstance(names, str) and set(names) <= PLANES.keys()
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
    Rule("windows.planes", _planes, f"one or more of {', '.join(PLANES)}, each once"),
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
    Rule("train.patience", _whole_from(0), "lines of the log, a whole number from 0"),
    Rule("train.discriminator_learning_rate", _above_0, "a number above 0"),
    _count("train.log_every"),
    _count("train.save_every"),
    _count("train.validate_every"),
    Rule(
        "inference.planes",
        lambda names: _planes(names) or (names != "" and len(names) == 0),
        f"some of {', '.join(PLANES)}, each once, or () for those of windows.planes",
    ),
    _one_of("inference.fusion", FUSIONS),
    Rule("inference.flips", _is_bool, "True or False"),
    Rule(
        "inference.shifts",
        lambda voxels: _whole(voxels) and 0 <= voxels <= 8,
        "voxels, a whole number from 0 (off) to 8",
    ),
)


def _cubic(config: ConfigDict) -> Iterator[str]:
    """The slices of all planes have one shape."""
    planes, shape = tuple(config.windows.planes), tuple(config.prepare.crop_shape)
    if len(planes) > 1 and len(set(shape)) > 1:
        yield (
            f"config.prepare.crop_shape={shape}: expected three equal sizes, since a batch mixes "
            f"the slices of config.windows.planes={planes}."
        )


def _halving(config: ConfigDict) -> Iterator[str]:
    """Every scale but the first halves the slice."""
    planes = dict.fromkeys((*config.windows.planes, *config.inference.planes))
    shape = tuple(config.prepare.crop_shape)
    factor = 2 ** (len(config.generator.features) - 1)
    odd = [axis for axis, size in enumerate(shape) if size % factor]
    unfit = [plane for plane in planes if set(odd) - {PLANES[plane]}]
    if unfit:
        yield (
            f"config.prepare.crop_shape={shape}: expected three sizes (superior, anterior, right), "
            f"multiples of {factor} in the {' and '.join(unfit)} plane for these "
            "generator.features."
        )


def _targets(config: ConfigDict) -> Iterator[str]:
    """A run lies within a crop, along every plane."""
    shape, targets = config.prepare.crop_shape, config.windows.targets
    plane = min(config.windows.planes, key=lambda plane: shape[PLANES[plane]])
    slices = shape[PLANES[plane]]
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


def _shared_out(config: ConfigDict) -> Iterator[str]:
    """A share between none and all of a batch is at least one run, and not all of them."""
    share, runs = config.windows.positive_share, config.windows.batch_size
    if 0 < share < 1 and round(share * runs) in (0, runs):
        yield (
            f"config.windows.positive_share={share} of config.windows.batch_size={runs} runs "
            f"rounds to {round(share * runs)}. Change one of them."
        )


def _patches(config: ConfigDict) -> Iterator[str]:
    """The discriminator's patches divide the slice."""
    scales, shape = len(config.discriminator.features), tuple(config.prepare.crop_shape)
    unused = [{PLANES[plane]} for plane in config.windows.planes]
    sizes = [size for axis, size in enumerate(shape) if any({axis} != one for one in unused)]
    if scales <= len(config.generator.features):
        return  # the generator halves as often, and says so
    if config.stages.adversarial and any(size % 2 ** (scales - 1) for size in sizes):
        yield (
            f"config.prepare.crop_shape={shape}: expected multiples of {2 ** (scales - 1)} within "
            f"the slices, since config.discriminator.features has {scales} scales."
        )


def _some_steps(config: ConfigDict) -> Iterator[str]:
    """There is something to do."""
    if not total_steps(config):
        yield "config.stages: all are 0. Give at least one of them steps."


def _pretrained(config: ConfigDict) -> Iterator[str]:
    """Weights are for a network that has some, and only loaded ones are frozen."""
    if config.network == "slice_classifier":
        scales = TRUNK_SCALES
    else:
        scales = len(config.generator.features) - 1
        if config.generator.encoder == "plain":
            scales = 0
        elif not 1 <= scales <= TRUNK_SCALES:
            yield (
                f"config.generator.features={tuple(config.generator.features)}: expected 2 to "
                f"{TRUNK_SCALES + 1} scales, since config.generator.encoder="
                f"{config.generator.encoder!r}."
            )
    if config.pretrained.weights and not scales:
        yield (
            f"config.pretrained.weights={config.pretrained.weights!r}: config.generator.encoder="
            "'plain' has no pretrained weights. Take resnet18 or efficientnet_lite0."
        )
    if config.pretrained.frozen_scales > (scales if config.pretrained.weights else 0):
        yield (
            f"config.pretrained.frozen_scales={config.pretrained.frozen_scales}: expected 0 to "
            f"{scales}, and 0 without config.pretrained.weights."
        )


def _one_slice(config: ConfigDict) -> Iterator[str]:
    """The slice classifier sees one slice and answers one thing about it."""
    if config.network != "slice_classifier":
        return
    if config.windows.length != 1:
        yield f"config.windows.length={config.windows.length}: the slice classifier needs 1."
    if config.stages.adversarial:
        found = config.stages.adversarial
        yield f"config.stages.adversarial={found}: the slice classifier needs 0."


def _fold(config: ConfigDict) -> Iterator[str]:
    """The fold that validates is one of them."""
    folds, fold = config.split.folds, config.split.fold
    if folds and fold >= folds:
        yield (
            f"config.split.fold={fold}: expected 0 to {folds - 1}, since "
            f"config.split.folds={folds}."
        )


_TOGETHER: tuple[tuple[tuple[str, ...], Callable[[ConfigDict], Iterator[str]]], ...] = (
    (("prepare.crop_shape", "windows.planes"), _cubic),
    (
        ("prepare.crop_shape", "windows.planes", "inference.planes", "generator.features"),
        _halving,
    ),
    (("prepare.crop_shape", "windows.planes", "windows.targets"), _targets),
    (("generator.recurrent_scales", "generator.features"), _recurrence),
    (("split.validation", "split.test"), _shares),
    (("split.folds", "split.fold"), _fold),
    (tuple(f"stages.{name}" for name in STAGES), _some_steps),
    (("windows.positive_share", "windows.batch_size"), _shared_out),
    (("prepare.crop_shape", "discriminator.features", "windows.planes"), _patches),
    (("network", "generator.encoder", "generator.features", "pretrained.weights"), _pretrained),
    (("network", "windows.length", "stages.adversarial"), _one_slice),
)
