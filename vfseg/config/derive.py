"""Configs that say only in what they differ from a complete one."""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

PACKAGED_CONFIGS = Path(__file__).parent.parent / "configs"
"""Folder of the configs that come with the package."""


def load(path: Path, variant: str = "") -> ConfigDict:
    """What `get_config` of a config file returns.

    Args:
        path: `configs/NAME.py`.
        variant: its argument; empty calls it without one.
    """
    get_config: Callable[..., ConfigDict] = runpy.run_path(str(path))["get_config"]
    return get_config(variant) if variant else get_config()


def derive(base: Path, *changes: Mapping[str, Any]) -> ConfigDict:
    """A complete config, changed.

    Args:
        base: its file.
        changes: dotted key -> value; later ones win. A key that does not exist is found where the
            config is read (`read_config`).
    """
    return changed(load(base), *changes)


def changed(config: ConfigDict, *changes: Mapping[str, Any]) -> ConfigDict:
    """A copy of a config with other values. Arguments as `derive`."""
    result = ConfigDict(config.to_dict())
    for key, value in (item for change in changes for item in change.items()):
        *sections, name = key.split(".")
        section = result
        for part in sections:
            if part not in section:
                section[part] = ConfigDict()
            section = section[part]
        with section.ignore_type():
            section[name] = value
    return result
