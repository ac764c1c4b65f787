"""Models without their training: what `--mode ship` writes and the package brings along.

A folder with `config.json`, `thresholds.json` and `parameters.npz`: the generator's parameters,
each under its path, and nothing that only training needs.
"""

import json
import zipfile
import zlib
from pathlib import Path

import flax
import jax
import numpy as np
from ml_collections import ConfigDict

from vfseg.errors import UserError
from vfseg.files import atomic_file
from vfseg.inference.model import THRESHOLDS, Model, load_model, make_predictor
from vfseg.training.loop import initial_state

SHIPPED = Path(__file__).parent.parent / "shipped"
"""The model that `--mode predict` takes when none is named."""

_DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError),
    *(zipfile.BadZipFile, zlib.error),
)
CONFIG, PARAMETERS = "config.json", "parameters.npz"


def export_model(checkpoints: Path, folder: Path) -> None:
    """Writes the best checkpoint of a run, with its thresholds, as a model to pass on.

    Args:
        checkpoints: `WORKDIR/checkpoints`, evaluated.
        folder: the three files go here.

    Raises:
        UserError: there is no checkpoint, or it was not evaluated.
    """
    model = load_model(checkpoints)
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, model.g_params), sep="/")
    config = {**model.config.to_dict(), "step": model.step}
    if config["manifest"]:
        config["manifest"] = Path(config["manifest"]).name  # no path of the machine that trained
    with atomic_file(folder / CONFIG) as file:
        file.write(json.dumps(config, indent=2).encode())
    with atomic_file(folder / THRESHOLDS) as file:
        file.write((checkpoints / THRESHOLDS).read_bytes())
    with atomic_file(folder / PARAMETERS) as file:
        np.savez_compressed(file, allow_pickle=False, **flat)


def open_model(path: Path) -> Model:
    """The model of a run (see `load_model`) or of a folder that `export_model` wrote.

    Raises:
        UserError: there is none, it is damaged, or its parameters do not fit its config.
    """
    if not (path / PARAMETERS).is_file():
        return load_model(path)
    try:
        settings = json.loads((path / CONFIG).read_text())
        step = settings.pop("step")
        with open(path / PARAMETERS, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            flat = {name: file[name] for name in file.files}
        config = ConfigDict(settings)
        expected = flax.traverse_util.flatten_dict(initial_state(config).g_params, sep="/")
        predictor = make_predictor(config)
    except _DAMAGE as error:
        raise UserError(
            f"{path}: this model is damaged, or of another version ({error}). Install it again."
        ) from error
    for name in sorted(expected.keys() | flat.keys()):
        found, wanted = (tree[name].shape if name in tree else None for tree in (flat, expected))
        if found != wanted:
            raise UserError(
                f"{path / PARAMETERS}: {name} has shape {found}, and {wanted} in the networks of "
                f"its {CONFIG}. Install it again."
            )
    g_params = flax.traverse_util.unflatten_dict(flat, sep="/")
    return Model(config, step, predictor, g_params)
