"""Opens trained models: a checkpoint of a run, or a folder that `--mode ship` wrote.

The generator alone is built, from the shapes of its parameters, and only the running mean of these
is read: no discriminator, no optimiser.
"""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

from vfseg.config.config import Config, read_config
from vfseg.config.recipe import generator_shapes, make_generator
from vfseg.config.shipped import is_shipped, read_shipped
from vfseg.digests import Marks, marks_of
from vfseg.errors import UserError
from vfseg.inference.model import Model
from vfseg.inference.predict import Predictor
from vfseg.inference.thresholds import load_thresholds
from vfseg.inference.views import Views
from vfseg.training.checkpoints import Checkpoints, locate


class Trained(NamedTuple):
    """A generator and the config that trained it.

    Attributes:
        config: the resolved one.
        step: of the checkpoint.
        g_params: the running mean of its parameters, on the host.
    """

    config: Config
    step: int
    g_params: Any


def load_trained(path: Path) -> Trained:
    """The best checkpoint of a run, the one of a step, or a model that was passed on.

    The one that was read last is remembered for as long as its files stay as they are: of every
    description of an array that Orbax asks TensorStore for, a part is never freed.

    Args:
        path: `WORKDIR`, `WORKDIR/checkpoints`, `WORKDIR/checkpoints/STEP`, or the folder of a model
            that `export_model` wrote.

    Raises:
        UserError: there is none, it is damaged or of another version.
    """
    if is_shipped(path):
        values, step, g_params = read_shipped(path, lambda v: generator_shapes(_read(path, v)))
        return Trained(_read(path, values), step, g_params)
    folder, named = locate(path)
    best = Checkpoints(folder).best if named is None else named
    if best is None or not (folder / str(best)).is_dir():
        raise UserError(f"{path}: no checkpoint. Train first with --mode train.")
    try:
        files = marks_of(folder / str(best))
    except OSError as error:  # of those that a training no longer needs
        raise UserError(
            f"{folder / str(best)}: cannot be read ({error.strerror or error}). Run again, or name "
            "another checkpoint."
        ) from error
    return _restore(folder.resolve(), best, files)


@functools.lru_cache(maxsize=1)
def _restore(folder: Path, step: int, files: Marks) -> Trained:
    checkpoints = Checkpoints(folder)
    config = _read(folder / str(step), checkpoints.config(step))
    return Trained(config, step, checkpoints.restore_mean(step, generator_shapes(config)))


def _read(where: Path, values: dict[str, Any]) -> Config:
    try:
        return read_config(values)
    except UserError as error:
        raise UserError(
            f"{where}: written by another version of this program ({error}). Predict with that "
            "version, or train again."
        ) from error


def open_model(path: Path) -> Model:
    """A trained model with its thresholds. Arguments as `load_trained`.

    Raises:
        UserError: as `load_trained`; or it was not evaluated, so that it has no thresholds.
    """
    config, step, g_params = load_trained(path)
    folder = path if is_shipped(path) else locate(path)[0]
    return Model(
        step=step,
        predictor=make_predictor(config),
        g_params=g_params,
        thresholds=load_thresholds(folder, step),
        fusion=config.inference.fusion,
        prepare=config.prepare,
        finest_features=config.generator.features[0],
        fractures=config.trained_on,
    )


def make_predictor(config: Config) -> Predictor:
    """The compiled prediction of a config, for any parameters; compiled once in a process."""
    return _predictor(json.dumps(config.to_dict(), sort_keys=True))


@functools.lru_cache(maxsize=2)
def _predictor(config_json: str) -> Predictor:
    config = read_config(json.loads(config_json))
    windows, inference = config.windows, config.inference
    return Predictor(
        make_generator(config),
        config.hu_windows,
        window=windows.length,
        stride=windows.stride(config.prepare.voxel_spacing),
        views=Views(inference.planes or windows.planes, inference.flips, inference.shifts),
    )
