"""What must fit together between the sections of a config, each right by itself."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from vfseg.data.settings import PLANE_AXES, SPLITS
from vfseg.models.settings import TRUNK_SCALES
from vfseg.training.settings import SUPERVISED
from vfseg.training.stages import STAGES


def _cubic(config: Any) -> Iterator[str]:
    """The slices of all planes have one shape."""
    planes, shape = tuple(config.windows.planes), tuple(config.prepare.crop_shape)
    if len(planes) > 1 and len(set(shape)) > 1:
        yield (
            f"config.prepare.crop_shape={shape}: expected three equal sizes, since a batch mixes "
            f"the slices of config.windows.planes={planes}."
        )


def _halving(config: Any) -> Iterator[str]:
    """Every scale but the first halves the slice."""
    planes = dict.fromkeys((*config.windows.planes, *config.inference.planes))
    shape = tuple(config.prepare.crop_shape)
    factor = 2 ** (len(config.generator.features) - 1)
    odd = [axis for axis, size in enumerate(shape) if size % factor]
    unfit = [plane for plane in planes if set(odd) - {PLANE_AXES[plane]}]
    if unfit:
        yield (
            f"config.prepare.crop_shape={shape}: expected three sizes (superior, anterior, right), "
            f"multiples of {factor} in the {' and '.join(unfit)} plane for these "
            "generator.features."
        )


def _targets(config: Any) -> Iterator[str]:
    """A run lies within a crop, along every plane."""
    shape, targets = config.prepare.crop_shape, config.windows.targets
    plane = min(config.windows.planes, key=lambda plane: shape[PLANE_AXES[plane]])
    slices = shape[PLANE_AXES[plane]]
    if targets > slices:
        yield (
            f"config.windows.targets={targets}: expected at most the {slices} {plane} slices of a "
            f"crop, since config.prepare.crop_shape={tuple(config.prepare.crop_shape)}."
        )


def _recurrence(config: Any) -> Iterator[str]:
    """A ConvLSTM stands at a scale that there is, and once."""
    scales, count = tuple(config.generator.recurrent_scales), len(config.generator.features)
    if len(set(scales)) < len(scales) or any(scale >= count for scale in scales):
        yield (
            f"config.generator.recurrent_scales={scales}: expected different numbers from 0 (the "
            f"finest scale) to {count - 1}, since config.generator.features has {count} scales."
        )


def _shared_out(config: Any) -> Iterator[str]:
    """A share between none and all of a batch is at least one run, and not all of them."""
    share, runs = config.windows.positive_share, config.windows.batch_size
    if 0 < share < 1 and round(share * runs) in (0, runs):
        yield (
            f"config.windows.positive_share={share} of config.windows.batch_size={runs} runs "
            f"rounds to {round(share * runs)}. Change one of them."
        )


def _patches(config: Any) -> Iterator[str]:
    """The discriminator's patches divide the slice."""
    scales, shape = len(config.discriminator.features), tuple(config.prepare.crop_shape)
    unused = [{PLANE_AXES[plane]} for plane in config.windows.planes]
    sizes = [size for axis, size in enumerate(shape) if any({axis} != one for one in unused)]
    if scales <= len(config.generator.features):
        return  # the generator halves as often, and says so
    if config.stages.adversarial and any(size % 2 ** (scales - 1) for size in sizes):
        yield (
            f"config.prepare.crop_shape={shape}: expected multiples of {2 ** (scales - 1)} within "
            f"the slices, since config.discriminator.features has {scales} scales."
        )


def _some_steps(config: Any) -> Iterator[str]:
    """There is something to do."""
    if not sum(getattr(config.stages, name) for name in STAGES):
        yield "config.stages: all are 0. Give at least one of them steps."


def _pretrained(config: Any) -> Iterator[str]:
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


def _one_slice(config: Any) -> Iterator[str]:
    """The slice classifier sees one slice and answers one thing about it."""
    if config.network != "slice_classifier":
        return
    if config.windows.length != 1:
        yield f"config.windows.length={config.windows.length}: the slice classifier needs 1."
    if config.stages.adversarial:
        found = config.stages.adversarial
        yield f"config.stages.adversarial={found}: the slice classifier needs 0."


def _rates(config: Any) -> Iterator[str]:
    """Fine-tuning is finer: to its rate the one before falls."""
    rate, before = config.train.fine_tune_rate, config.train.generator_learning_rate
    if config.stages.fine_tune and rate > before:
        yield (
            f"config.train.fine_tune_rate={rate}: expected at most "
            f"config.train.generator_learning_rate={before}. Lower it, or set "
            "config.stages.fine_tune=0."
        )


def _something_to_learn(config: Any) -> Iterator[str]:
    """Some term compares with the drawn fractures, whichever network it is."""
    if not any(getattr(config.losses, name) for name in SUPERVISED):
        yield (
            f"config.losses: {', '.join(SUPERVISED)} are all 0, so nothing is learnt from the "
            "drawn fractures. Give at least one of them a weight."
        )


def _phantoms(config: Any) -> Iterator[str]:
    """Where phantoms are all there is, every split has some."""
    for split in () if config.manifest or config.painted.label_maps else SPLITS:
        if getattr(config.phantom, split) < 1:
            found = getattr(config.phantom, split)
            yield f"config.phantom.{split}={found}: expected a whole number from 1."


TOGETHER: tuple[tuple[tuple[str, ...], Callable[[Any], Iterator[str]]], ...] = (
    (("prepare.crop_shape", "windows.planes"), _cubic),
    (
        ("prepare.crop_shape", "windows.planes", "inference.planes", "generator.features"),
        _halving,
    ),
    (("prepare.crop_shape", "windows.planes", "windows.targets"), _targets),
    (("generator.recurrent_scales", "generator.features"), _recurrence),
    (tuple(f"stages.{name}" for name in STAGES), _some_steps),
    (tuple(f"losses.{name}" for name in SUPERVISED), _something_to_learn),
    (
        ("train.fine_tune_rate", "train.generator_learning_rate", "stages.fine_tune"),
        _rates,
    ),
    (("windows.positive_share", "windows.batch_size"), _shared_out),
    (
        (
            *("prepare.crop_shape", "discriminator.features", "windows.planes"),
            *("generator.features", "stages.adversarial"),
        ),
        _patches,
    ),
    (
        (
            *("network", "generator.encoder", "generator.features"),
            *("pretrained.weights", "pretrained.frozen_scales"),
        ),
        _pretrained,
    ),
    (("network", "windows.length", "stages.adversarial"), _one_slice),
    (
        ("manifest", "painted.label_maps", *(f"phantom.{split}" for split in SPLITS)),
        _phantoms,
    ),
)
"""Settings that belong together, and what compares them once each of them is right by itself."""


def unfit(config: Any, problems: Collection[str]) -> Iterator[str]:
    """What does not fit together between the sections.

    Args:
        config: settings as attributes, at least those that are right.
        problems: dotted keys, from `config` on, of settings and sections that are not.
    """
    for keys, compare in TOGETHER:
        ours = {f"config.{key}" for key in keys} | {f"config.{key.split('.')[0]}" for key in keys}
        if not ours & set(problems):
            yield from compare(config)
