"""The configs that benchmarks and studies run: read from a file, with some settings changed."""

import dataclasses
import runpy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vfseg.config import config
from vfseg.config.config import Config
from vfseg.config.derive import changed, load
from vfseg.crops.settings import AugmentSettings

ROOT = Path(__file__).parent.parent
"""The project's folder, with `configs/` in it."""
QUICKSTART = ROOT / "configs" / "quickstart.py"
WINDOWS_PER_STEP = 16
NO_CHANGES: Mapping[str, Any] = MappingProxyType({})


def read_config(
    path: str | Path, variant: str = "", changes: Mapping[str, Any] = NO_CHANGES
) -> Config:
    """A config from its file.

    Args:
        path: of the file.
        variant: of the config; "" for the config itself.
        changes: dotted key -> value that replaces the file's.
    """
    return config.read_config(changed(load(Path(path), variant), changes))


def constant(path: str | Path, name: str) -> Any:
    """What a config's file says beside the config; None where it does not."""
    return runpy.run_path(str(path)).get(name)


def quickstart(
    targets: int = 4, variant: str = "", changes: Mapping[str, Any] = NO_CHANGES
) -> Config:
    """The quickstart's config for benchmarks of training: 16 windows a step.

    Args:
        targets: windows of a run of slices; 1 for plain windows.
        variant: of the config: "" or "tiny".
        changes: dotted key -> another value.
    """
    fixed = {
        "windows.targets": targets,
        "windows.batch_size": WINDOWS_PER_STEP // targets,
        "losses.adversarial_everywhere": True,  # as the PyTorch twin judges; costs the same
    }
    return read_config(QUICKSTART, variant, {**fixed, **changes})


def augmented(strengths: Mapping[str, float], targets: int = 4, variant: str = "") -> Config:
    """`quickstart` with these strengths of augmentation, and no others."""
    names = [field.name for field in dataclasses.fields(AugmentSettings)]
    return quickstart(
        targets, variant, {f"augment.{name}": strengths.get(name, 0.0) for name in names}
    )
