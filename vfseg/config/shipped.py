"""Models without their training: what `--mode ship` writes and the package brings along.

A folder with `config.json`, `thresholds.json` and `parameters.npz`: the generator's parameters,
each under its path, and nothing that only training needs.
"""

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from vfseg.config.config import Config
from vfseg.errors import UserError
from vfseg.files import atomic_file
from vfseg.inference.thresholds import Thresholds, save_thresholds

SHIPPED = Path(__file__).parent.parent / "shipped"
"""The model that `--mode predict` takes when none is named."""

CONFIG, PARAMETERS = "config.json", "parameters.npz"
_DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError),
    *(zipfile.BadZipFile, zlib.error),
)


def is_shipped(path: Path) -> bool:
    """Whether a folder holds a model that was passed on."""
    return (path / PARAMETERS).is_file()


def export_model(
    folder: Path, config: Config, step: int, g_params: Any, thresholds: Thresholds
) -> None:
    """Writes a model to pass on.

    Of the paths in its config only the last part is kept: they are those of the machine that
    trained.

    Args:
        folder: the three files go here.
        config: of the run.
        step: of the checkpoint.
        g_params: parameters of the generator.
        thresholds: chosen on validation for that checkpoint.

    Raises:
        UserError: they cannot be written.
    """
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, g_params), sep="/")
    values = {**config.to_dict(), "step": step, "manifest": Path(config.manifest).name}
    values["pretrained"]["weights"] = Path(config.pretrained.weights).name
    with atomic_file(folder / CONFIG) as file:
        file.write(json.dumps(values, indent=2).encode())
    save_thresholds(folder, step, thresholds, config.inference.fusion)
    with atomic_file(folder / PARAMETERS) as file:
        np.savez_compressed(file, allow_pickle=False, **flat)


def read_shipped(
    folder: Path, shapes_of: Callable[[dict[str, Any]], Any]
) -> tuple[dict[str, Any], int, Any]:
    """Config (as written), step and parameters of a model that was passed on.

    Args:
        folder: from `export_model`.
        shapes_of: config -> tree of the shapes that its generator's parameters have.

    Raises:
        UserError: it is damaged, or its parameters do not fit its config.
    """
    try:
        values = json.loads((folder / CONFIG).read_text())
        step = values.pop("step")
        with open(folder / PARAMETERS, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            flat = {name: file[name] for name in file.files}
        expected = flax.traverse_util.flatten_dict(shapes_of(values), sep="/")
    except _DAMAGE as error:
        raise UserError(
            f"{folder}: this model is damaged, or of another version ({error}). Install it again."
        ) from error
    for name in sorted(expected.keys() | flat.keys()):
        found, wanted = (tree[name].shape if name in tree else None for tree in (flat, expected))
        if found != wanted:
            raise UserError(
                f"{folder / PARAMETERS}: {name} has shape {found}, and {wanted} in the networks of "
                f"its {CONFIG}. Install it again."
            )
    return values, step, flax.traverse_util.unflatten_dict(flat, sep="/")
