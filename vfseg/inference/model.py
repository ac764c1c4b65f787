"""A trained model as inference needs it: config, parameters and thresholds from a checkpoint."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vfseg.crops.prepare import PrepareSettings
from vfseg.errors import UserError
from vfseg.files import atomic_file
from vfseg.inference.predict import Predictor
from vfseg.inference.views import Views
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.loop import initial_state
from vfseg.training.recipe import make_generator, prepare_settings, window_settings

THRESHOLDS = "thresholds.json"


@dataclasses.dataclass(frozen=True)
class Model:
    """Everything a prediction depends on.

    Attributes:
        config: the one that trained it.
        step: of the checkpoint.
        predictor: compiled prediction.
        g_params: parameters of the generator.
    """

    config: ConfigDict
    step: int
    predictor: Predictor
    g_params: Any

    @property
    def prepare(self) -> PrepareSettings:
        """How crops were cut for it."""
        return prepare_settings(self.config)


def load_model(checkpoints: Path) -> Model:
    """The best checkpoint of a folder, or the one of a step.

    Args:
        checkpoints: `WORKDIR`, `WORKDIR/checkpoints` or `WORKDIR/checkpoints/STEP`.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    folder, step = _folder_and_step(checkpoints)
    store = Checkpoints(folder)
    step = store.best if step is None else step
    if step is None or not (folder / str(step)).is_dir():
        raise UserError(f"{checkpoints}: no checkpoint. Train first with --mode train.")
    config = ConfigDict(store.config(step))
    try:
        template, predictor = initial_state(config), make_predictor(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / str(step)}: written by another version of this program ({error}). "
            "Predict with that version, or train again."
        ) from error
    state = store.restore(step, template).state
    return Model(config, step, predictor, state.ema_params)


def best_step(checkpoints: Path) -> int | None:
    """Step of the best checkpoint of a folder; None where there is none."""
    return Checkpoints(checkpoints).best


def make_predictor(config: ConfigDict) -> Predictor:
    """The compiled prediction of a config, for any parameters; compiled once in a process."""
    return _predictor(json.dumps(config.to_dict(), sort_keys=True))


@functools.lru_cache(maxsize=2)
def _predictor(config_json: str) -> Predictor:
    config = ConfigDict(json.loads(config_json))
    windows = window_settings(config)
    inference = config.inference
    return Predictor(
        make_generator(config),
        config.hu_windows,
        window=windows.length,
        stride=windows.stride(config.prepare.voxel_spacing),
        views=Views(tuple(inference.planes) or windows.planes, inference.flips, inference.shifts),
    )


def save_thresholds(
    checkpoints: Path,
    step: int,
    *,
    slice: float,
    fused: float,
    vertebra: float,
    temperature: float | None,
    fusion: str,
) -> None:
    """Keeps the thresholds that validation chose beside the checkpoint they were chosen for.

    Args:
        checkpoints: `WORKDIR/checkpoints`.
        step: of the checkpoint.
        slice: threshold of the predictions of slices.
        fused: threshold of the fused map.
        vertebra: threshold of the score of a vertebra.
        temperature: by which logits of the fused map would be divided to calibrate it; kept, and
            not applied. None where validation could not fit one.
        fusion: how the map was fused.
    """
    content = {"step": step, "chosen_on": "validation", "fusion": fusion}
    content |= {"slice": slice, "fused": fused, "vertebra": vertebra, "temperature": temperature}
    with atomic_file(checkpoints / THRESHOLDS) as file:
        file.write(json.dumps(content, indent=2).encode())


class ChosenThresholds(NamedTuple):
    """What validation chose.

    Attributes:
        slice: probability from which a slice prediction votes.
        fused: probability from which a voxel of the fused map belongs to the mask.
        vertebra: score from which a vertebra is suspected.
    """

    slice: float
    fused: float
    vertebra: float


def load_thresholds(checkpoints: Path, step: int) -> ChosenThresholds:
    """Thresholds of a checkpoint.

    Args:
        checkpoints: as `load_model`.
        step: of the checkpoint.

    Raises:
        UserError: none was chosen for it yet, or the file is damaged.
    """
    folder, _ = _folder_and_step(checkpoints)
    path = folder / THRESHOLDS
    remedy = "Run --mode evaluate, which chooses them on the validation cases."
    try:
        content = json.loads(path.read_text())
        chosen_for = int(content["step"])
        thresholds = ChosenThresholds(*(float(content[n]) for n in ChosenThresholds._fields))
    except FileNotFoundError:
        raise UserError(f"{path}: no thresholds of step {step} yet. {remedy}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: is damaged ({type(error).__name__}: {error}). {remedy}"
        ) from error
    if chosen_for != step:
        other = folder / str(chosen_for)
        instead = f"Name --checkpoint {other}, or run" if other.is_dir() else "Run"
        raise UserError(
            f"{path}: the thresholds were chosen for step {chosen_for}, not for step {step}. "
            f"{instead} --mode evaluate, which chooses those of the best checkpoint."
        )
    return thresholds


def _folder_and_step(checkpoints: Path) -> tuple[Path, int | None]:
    """The folder of checkpoints, and the step where one is named."""
    if (checkpoints / "checkpoints").is_dir():
        return checkpoints / "checkpoints", None
    if checkpoints.name.isdigit():
        return checkpoints.parent, int(checkpoints.name)
    return checkpoints, None
