"""Thresholds and temperature: chosen on held-out cases, kept with the model, never re-chosen."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from vfseg.errors import UserError
from vfseg.json_files import sealed, write_json
from vfseg.schemas import NUMBER, TEXT, All, Maybe, misfit, read_checked
from vfseg.settings import Rule, above, between, whole

THRESHOLDS = "thresholds.json"
VALIDATION = "validation"
_REMEDY = "Run --mode evaluate, which chooses them on the validation cases."
_OF_FOLDS = ("evaluate,", "evaluate --folds,")
_WEIGHTS = {"both": 3, "map": 2, "heights": 2}


def _numbers(count: int) -> Rule:
    return Rule(
        lambda values: len(values) == count and bool(np.isfinite(values).all()),
        f"{count} finite numbers",
    )


Step = int | list[int]
"""Of a checkpoint, or of those of all members of an ensemble."""

_STEPS = All(([whole(0)], Rule(bool, "at least one step")))

_SHAPE = {
    "step": Rule(
        lambda step: not misfit(step, _STEPS if isinstance(step, list) else whole(0)),
        "a step, or those of the members of an ensemble",
    ),
    **{name: between(0, 1) for name in ("slice", "fused", "vertebra")},
    "vertebra_rule": Maybe(TEXT),
    "chosen_on": Maybe(TEXT),
    "temperature": Maybe(above(0)),
    "verdict": Maybe({
        **{name: Maybe(All(([NUMBER], _numbers(count)))) for name, count in _WEIGHTS.items()},
        **{name: between(0, 1) for name in ("review", "likely")},
        "usual": Maybe(NUMBER),
    }),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictRule:
    """How evidence becomes a probability, and a probability a verdict; see `evaluation.verdict`.

    Attributes:
        both: intercept, weight of the map and weight of the heights; None, as the next two, where
            validation could not fit it.
        map, heights: intercept and weight where there is only that.
        usual: background of the map that counts as one more vertebra's; None, as in files from
            before there was one, where scores count as they are.
        review: probability from which a vertebra is to be looked at, 0..1.
        likely: probability from which a fracture is likely, 0..1.
    """

    both: tuple[float, ...] | None
    map: tuple[float, ...] | None
    heights: tuple[float, ...] | None
    review: float
    likely: float
    usual: float | None = None

    @property
    def models(self) -> dict[str, tuple[float, ...] | None]:
        """The three by name, the one with most evidence first."""
        return {name: getattr(self, name) for name in _WEIGHTS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What cases chose that nobody is judged on; test data never choose anything.

    Attributes:
        slice: probability from which a slice prediction votes, 0..1.
        fused: probability from which a voxel of the fused map belongs to the mask, 0..1.
        vertebra: score from which a vertebra is suspected, 0..1.
        vertebra_rule: how that was chosen; empty where it was not recorded.
        verdict: how vertebrae are judged; None where validation could not fit it, or did not yet.
        temperature: by which logits of the map would be divided to calibrate it; reported, and not
            applied to the map. None where validation could not fit one.
        chosen_on: the cases that chose.
    """

    slice: float
    fused: float
    vertebra: float
    vertebra_rule: str = ""
    temperature: float | None = None
    verdict: VerdictRule | None = None
    chosen_on: str = VALIDATION


def save_thresholds(folder: Path, step: Step, thresholds: Thresholds, fusion: str) -> None:
    """Keeps thresholds beside the checkpoint they were chosen for.

    Args:
        folder: `WORKDIR/checkpoints`, or of a model to pass on; of an ensemble, the workdir.
        step: of the checkpoint, or of that of each member of an ensemble.
        thresholds: with the cases that chose them.
        fusion: how the map was fused.

    Raises:
        UserError: they cannot be written.
    """
    content = {"step": step, "fusion": fusion}
    write_json(folder / THRESHOLDS, sealed(content | dataclasses.asdict(thresholds)))


def load_thresholds(folder: Path, step: Step) -> Thresholds:
    """Thresholds of a checkpoint.

    Args:
        folder: as `save_thresholds`.
        step: as `save_thresholds`.

    Raises:
        UserError: none was chosen for it yet, or the file is damaged.
    """
    path = folder / THRESHOLDS
    content = read_checked(path, _SHAPE, _REMEDY)
    if content is None:
        remedy = _REMEDY if isinstance(step, int) else _REMEDY.replace(*_OF_FOLDS)
        raise UserError(f"{path}: no thresholds of step {step} yet. {remedy}")
    chosen_for, temperature = content["step"], content.get("temperature")
    verdict = content.get("verdict")
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
        chosen_on=content.get("chosen_on") or VALIDATION,
        temperature=None if temperature is None else float(temperature),
        verdict=None if verdict is None else _rule(verdict),
    )


def _rule(content: dict[str, Any]) -> VerdictRule:
    def weights(name: str) -> tuple[float, ...] | None:
        known = content.get(name)
        return None if known is None else tuple(map(float, known))

    usual = content.get("usual")
    return VerdictRule(
        both=weights("both"),
        map=weights("map"),
        heights=weights("heights"),
        review=float(content["review"]),
        likely=float(content["likely"]),
        usual=None if usual is None else float(usual),
    )
