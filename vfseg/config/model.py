"""Opens trained models: a checkpoint of a run, a folder that `--mode ship` wrote, or all folds.

The generator alone is built, from the shapes of its parameters, and only the running mean of these
is read: no discriminator, no optimiser.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vfseg.config.config import Config, read_config
from vfseg.config.folds import folds_of
from vfseg.config.recipe import generator_shapes, make_slice_function, make_views
from vfseg.config.shipped import is_shipped, read_shipped
from vfseg.digests import Marks, marks_of
from vfseg.errors import UserError, quantity
from vfseg.inference.model import Model
from vfseg.inference.predict import Predictor
from vfseg.inference.thresholds import load_thresholds
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


def load_members(path: Path) -> tuple[Trained, ...]:
    """The model of each fold of a cross-validation, as one ensemble; of any other path the one.

    Raises:
        UserError: as `load_trained`; a fold is missing, or was trained with other settings.
    """
    folds = folds_of(path)
    members = tuple(load_trained(fold) for fold in folds or [path])
    wanted = _but_for_fold(members[0].config)
    for fold, member in zip(folds, members):
        if _but_for_fold(member.config) != wanted:
            raise UserError(
                f"{fold}: trained with other settings than {folds[0]}. Models of one ensemble "
                "differ in their fold alone; name one of them, or train again."
            )
    if folds and len(folds) != (expected := members[0].config.split.folds):
        raise UserError(
            f"{path}: {quantity(len(folds), 'fold')} of {expected} trained. Train the others with "
            "--folds, or name one fold."
        )
    return members


def _but_for_fold(config: Config) -> Config:
    return dataclasses.replace(config, split=dataclasses.replace(config.split, fold=0))


def open_model(path: Path) -> Model:
    """A trained model with its thresholds.

    Args:
        path: as of `load_trained`; or the workdir of a cross-validation, whose models are an
            ensemble.

    Raises:
        UserError: as `load_members`; or it was not evaluated, so that it has no thresholds.
    """
    return model_of(path, load_members(path))


def model_of(path: Path, members: Sequence[Trained]) -> Model:
    """What `open_model` opens, of members that were loaded already.

    Raises:
        UserError: it was not evaluated, so that it has no thresholds.
    """
    config, steps = members[0].config, tuple(member.step for member in members)
    folder = path if is_shipped(path) or folds_of(path) else locate(path)[0]
    return Model(
        steps=steps,
        predictor=make_predictor(config),
        members=tuple(member.g_params for member in members),
        thresholds=load_thresholds(folder, steps[0] if len(steps) == 1 else list(steps)),
        fusion=config.inference.fusion,
        prepare=config.prepare,
        finest_features=config.generator.features[0],
        fractures=config.trained_on,
    )


def make_predictor(config: Config) -> Predictor:
    """The compiled prediction of a config, for any parameters; compiled once for all its folds."""
    return _predictor(json.dumps(_but_for_fold(config).to_dict(), sort_keys=True))


@functools.lru_cache(maxsize=2)
def _predictor(config_json: str) -> Predictor:
    config = read_config(json.loads(config_json))
    return Predictor(make_slice_function(config), make_views(config))
