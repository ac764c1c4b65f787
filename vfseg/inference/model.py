"""A trained model as inference needs it: config, parameters and thresholds from a checkpoint."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vfseg.data.prepare import PrepareSettings
from vfseg.data.volume import atomic_file
from vfseg.errors import UserError
from vfseg.inference.predict import Predictor
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.loop import initial_state
from vfseg.training.recipe import make_generator, prepare_settings, window_settings

_THRESHOLDS = "thresholds.json"


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
      checkpoints: `WORKDIR/checkpoints` or `WORKDIR/checkpoints/STEP`.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    folder, step = checkpoints, None
    if checkpoints.name.isdigit():
        folder, step = checkpoints.parent, int(checkpoints.name)
    store = Checkpoints(folder)
    try:
        step = store.best if step is None else step
        if step is None or not (folder / str(step)).is_dir():
            raise UserError(f"{checkpoints}: no checkpoint. Train first with --mode train.")
        config = ConfigDict(store.config(step))
        state = store.restore(step, initial_state(config)).state
    finally:
        store.close()
    return Model(config, step, make_predictor(config), state.g_params)


def best_step(checkpoints: Path) -> int | None:
    """Step of the best checkpoint of a folder; None where there is none."""
    store = Checkpoints(checkpoints)
    try:
        return store.best
    finally:
        store.close()


def make_predictor(config: ConfigDict) -> Predictor:
    """The compiled prediction of a config, for any parameters."""
    return Predictor(
        make_generator(config),
        window_settings(config),
        config.hu_windows,
        config.prepare.voxel_spacing,
    )


def save_thresholds(checkpoints: Path, step: int, *, slice: float, fused: float) -> None:
    """Keeps the thresholds that validation chose beside the checkpoint they were chosen for."""
    content = {"step": step, "chosen_on": "validation", "slice": slice, "fused": fused}
    with atomic_file(checkpoints / _THRESHOLDS) as file:
        file.write(json.dumps(content, indent=2).encode())


def load_thresholds(checkpoints: Path, step: int) -> tuple[float, float]:
    """Slice and fused threshold of a checkpoint.

    Raises:
      UserError: none was chosen for it yet.
    """
    path = (checkpoints.parent if checkpoints.name.isdigit() else checkpoints) / _THRESHOLDS
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        content = {"step": None}
    if content["step"] != step:
        raise UserError(
            f"{path}: holds no thresholds of step {step}. Run --mode evaluate, which chooses them "
            "on the validation cases."
        )
    return float(content["slice"]), float(content["fused"])
