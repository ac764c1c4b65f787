"""Thresholds and temperature: chosen on validation, kept beside the checkpoint, never re-chosen."""

import dataclasses
from pathlib import Path

from vfseg.errors import UserError
from vfseg.json_files import sealed, write_json
from vfseg.schemas import TEXT, Maybe, read_checked
from vfseg.settings import above, between, whole

THRESHOLDS = "thresholds.json"
_REMEDY = "Run --mode evaluate, which chooses them on the validation cases."
_SHAPE = {
    "step": whole(0),
    **{name: between(0, 1) for name in ("slice", "fused", "vertebra")},
    "vertebra_rule": Maybe(TEXT),
    "temperature": Maybe(above(0)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What validation chose; test data never choose anything.

    Attributes:
        slice: probability from which a slice prediction votes, 0..1.
        fused: probability from which a voxel of the fused map belongs to the mask, 0..1.
        vertebra: score from which a vertebra is suspected, 0..1.
        vertebra_rule: how that was chosen; empty where it was not recorded.
        temperature: by which logits of the map would be divided to calibrate it; reported, and not
            applied to the map. None where validation could not fit one.
    """

    slice: float
    fused: float
    vertebra: float
    vertebra_rule: str = ""
    temperature: float | None = None


def save_thresholds(folder: Path, step: int, thresholds: Thresholds, fusion: str) -> None:
    """Keeps thresholds beside the checkpoint they were chosen for.

    Args:
        folder: `WORKDIR/checkpoints`, or of a model to pass on.
        step: of the checkpoint.
        thresholds: from validation.
        fusion: how the map was fused.

    Raises:
        UserError: they cannot be written.
    """
    content = {"step": step, "chosen_on": "validation", "fusion": fusion}
    write_json(folder / THRESHOLDS, sealed(content | dataclasses.asdict(thresholds)))


def load_thresholds(folder: Path, step: int) -> Thresholds:
    """Thresholds of a checkpoint.

    Args:
        folder: as `save_thresholds`.
        step: of the checkpoint.

    Raises:
        UserError: none was chosen for it yet, or the file is damaged.
    """
    path = folder / THRESHOLDS
    content = read_checked(path, _SHAPE, _REMEDY)
    if content is None:
        raise UserError(f"{path}: no thresholds of step {step} yet. {_REMEDY}")
    chosen_for, temperature = content["step"], content.get("temperature")
    if chosen_for != step:
        other = folder / str(chosen_for)
        instead = f"Name --checkpoint {other}, or run" if other.is_dir() else "Run"
        raise UserError(
            f"{path}: the thresholds were chosen for step {chosen_for}, not for step {step}. "
            f"{instead} --mode evaluate, which chooses those of the best checkpoint."
        )
    return Thresholds(
        slice=float(content["slice"]),
        fused=float(content["fused"]),
        vertebra=float(content["vertebra"]),
        vertebra_rule=content.get("vertebra_rule") or "",
        temperature=None if temperature is None else float(temperature),
    )
