"""The variants that are compared, and their configs for any number of steps."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from benchmarks.configs import ROOT, read_config
from vfseg.config.config import Config
from vfseg.training.stages import share_out

CONFIG = "configs/vertebral_fracture.py"
"""Of which all are variants; below `ROOT`."""
COMMON = {"inference.flips": False}
QUICK = {
    "phantom.train": 2,
    "phantom.validation": 1,
    "phantom.test": 1,
    "phantom.levels": ("L1", "L2"),
    "phantom.levels_per_case": (2, 2),
    "phantom.fracture_probability": 0.9,
    "phantom.orientations": ("RAS",),
    "generator.features": (4, 8, 8, 16),
    "generator.recurrent_features": 4,
    "discriminator.features": (4, 8),
}
"""Config keys at a size that only shows that everything runs."""


class Variant(NamedTuple):
    """A row of the table.

    Attributes:
        config: variant of `CONFIG`.
        changes: dotted config keys that differ from it.
        equal_time: whether it is also trained for as long as the full recipe takes.
    """

    config: str
    changes: Mapping[str, Any]
    equal_time: bool = True

    @property
    def source(self) -> str:
        """Its config as the command line names it."""
        return f"{CONFIG}:{self.config}".rstrip(":")


EARLY = {
    "stages.recurrent": 1,
    "stages.adversarial": 1,  # as many steps
    "losses.adversarial": 0.5,
    "train.discriminator_learning_rate": 4e-3,
}
"""The discriminator comes while the generator still learns fast, and learns fast to catch up."""
VARIANTS = {
    "U-Net, 1 slice": Variant("unet", {}),
    "+ attention": Variant("attention", {}),
    "+ ConvLSTM, 5 slices": Variant("convlstm", {}),
    "+ GAN": Variant("gan", {}),
    "full recipe": Variant("", {}, equal_time=False),
    "light": Variant("light", {}),
    "ConvLSTM: 3 scales, bidirectional": Variant(
        "convlstm",
        {"generator.recurrent_scales": (1, 2, 3), "generator.bidirectional": True},
        equal_time=False,
    ),
    "ConvLSTM: stride 2.5 mm": Variant("convlstm", {"windows.stride_mm": 2.5}, equal_time=False),
    "GAN: half of the steps, weight 0.5": Variant("gan", EARLY, equal_time=False),
    "GAN: the same, least squares": Variant(
        "gan", {**EARLY, "losses.adversarial_form": "least_squares"}, equal_time=False
    ),
    "sagittal slices only, 1 slice": Variant(
        "attention", {"windows.planes": ("sagittal",)}, equal_time=False
    ),
    "sagittal slices only, 5 slices": Variant(
        "convlstm", {"windows.planes": ("sagittal",)}, equal_time=False
    ),
}
"""Rows of the table. The last two show what neighbouring slices add where no other plane helps."""


def variant_changes(name: str, steps: int, *, quick: bool = False) -> dict[str, Any]:
    """Dotted config keys of a variant that differ from its config.

    On a CPU it has half the channels. Its stages keep their proportions.

    Args:
        name: of `VARIANTS`.
        steps: in all.
        quick: take the sizes of `QUICK`.
    """
    variant = VARIANTS[name]
    config = read_config(ROOT / CONFIG, variant.config)
    size: dict[str, Any] = {}
    if quick:
        size = QUICK
    elif jax.default_backend() == "cpu":
        generator = config.generator
        size["generator.features"] = tuple(count // 2 for count in generator.features)
        size["generator.recurrent_features"] = generator.recurrent_features // 2
    changes = {**COMMON, **size, **variant.changes}
    config = read_config(ROOT / CONFIG, variant.config, changes)
    parts = share_out(steps, config.stages)
    return changes | {f"stages.{stage}": part for stage, part in parts.items()}


def variant_config(name: str, steps: int, *, quick: bool = False) -> Config:
    """The config of a variant; arguments as `variant_changes`."""
    changes = variant_changes(name, steps, quick=quick)
    return read_config(ROOT / CONFIG, VARIANTS[name].config, changes)
