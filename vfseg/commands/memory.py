"""What a workdir remembers: the config and the cases it was begun with, and its results."""

import contextlib
from pathlib import Path
from typing import Any

from vfseg.config.config import Config, read_config
from vfseg.digests import noticed
from vfseg.errors import UserError
from vfseg.evaluation.summary_shape import EVALUATED, REMEDY
from vfseg.json_files import write_json
from vfseg.schemas import ANY, TEXT, Table, read_checked
from vfseg.training.checkpoints import Checkpoints

_FREE = ("train.patience", "train.log_every", "train.save_every")
"""Settings that change nothing that is learnt."""

_SHARED = ("manifest", "add_phantoms", "phantom", "virtual_fractures", "painted", "prepare")
"""Settings on which cohorts and store of a data folder depend."""

_SHARED_BY = "shared.json"
"""In a data folder that several runs share: what its cases are made from."""

_OF_A_RUN = ("config.json", "splits.csv", "checkpoints")
"""Of these a workdir has one as soon as its cases are prepared; a data folder has none."""


def read_summary(workdir: Path, shape: Any = EVALUATED) -> dict[str, Any]:
    """The content of `evaluation/summary.json`, which must be of a shape (see `misfit`).

    Raises:
        UserError: nothing is evaluated yet, or what an evaluation left is damaged.
    """
    check_results(workdir)
    path = workdir / "evaluation" / "summary.json"
    summary = read_checked(path, shape, REMEDY)
    if summary is None:
        raise UserError(f"{path}: nothing to report yet. Run --mode evaluate first.")
    return summary


def check_results(workdir: Path) -> None:
    """Raises `UserError` where what an evaluation left in a workdir is not as it was written."""
    for folder in (workdir / "evaluation", *sorted((workdir / "predictions").glob("*"))):
        wrong = noticed(folder)
        if wrong:
            raise UserError(f"{folder}: damaged ({wrong}). {REMEDY}")


def check_config_of(config: Config, workdir: Path) -> None:
    """Refuses to go on in a workdir that was begun, or whose newest checkpoint was, with another.

    Raises:
        UserError: names each key that was changed.
    """
    changed: dict[str, None] = {}  # each named once, in order
    for begun in (read_checked(workdir / "config.json", Table(ANY)), _config_of_newest(workdir)):
        if begun is not None:
            changed |= dict.fromkeys(_differences(begun, config))
    if changed:
        raise UserError(
            f"{workdir} was begun with other settings:\n  "
            + "\n  ".join(changed)
            + "\nGive the old values back, or choose another --workdir."
        )


def _differences(begun: dict[str, Any], config: Config) -> list[str]:
    # Settings that have defaults may have been left out; one of another version stands as it is.
    with contextlib.suppress(UserError):
        begun = read_config(begun).to_dict()
    before, now = _flat(begun), _flat(config.to_dict())
    return [
        f"config.{key}: {before.get(key)} -> {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in _FREE
    ]


def _config_of_newest(workdir: Path) -> dict[str, Any] | None:
    folder = workdir / "checkpoints"
    checkpoints = Checkpoints(folder) if folder.is_dir() else None
    newest = checkpoints and checkpoints.newest_intact()
    return checkpoints.config(newest) if checkpoints and newest else None


def remember(config: Config, workdir: Path, data: str) -> None:
    """Writes the resolved config, and refuses to train on with other training data."""
    path = workdir / "data.json"
    begun = read_checked(path, {"train_and_validation": TEXT})
    if begun is not None and begun["train_and_validation"] != data:
        raise UserError(
            f"{workdir}: the training or validation cases changed since training began here. "
            "Choose another --workdir to train on the new data."
        )
    write_json(workdir / "config.json", config.to_dict())
    write_json(path, {"train_and_validation": data})


def refuse_workdir(data: Path) -> None:
    """Refuses the workdir of a run as the folder of what other runs share.

    That run writes its cohorts and store anew as its own settings ask, and asks nobody.

    Raises:
        UserError: it is one.
    """
    found = [name for name in _OF_A_RUN if (data / name).exists()]
    if found:
        raise UserError(
            f"--data {data}: the workdir of another run (it holds {', '.join(found)}). Name a "
            "folder that holds only what runs share, cohorts and store; a new one is filled by the "
            "first run."
        )


def is_shared(folder: Path) -> bool:
    """Whether runs with other workdirs take their cases from a folder."""
    return (folder / _SHARED_BY).exists()


def claim_data(config: Config, folder: Path) -> bool:
    """Notes what cohorts and store of a data folder are made from that several runs share.

    Returns:
        Whether nothing was noted there before.

    Raises:
        UserError: it holds those of other settings, which other runs may be reading.
    """
    path, values = folder / _SHARED_BY, config.to_dict()
    wanted = {name: values[name] for name in _SHARED}
    begun = read_checked(path, Table(ANY))
    if begun is not None:  # settings that have defaults may be newer than the folder
        rest = {name: value for name, value in values.items() if name not in _SHARED}
        with contextlib.suppress(UserError):
            read = read_config(rest | begun).to_dict()
            begun = {name: read[name] for name in _SHARED}
    if begun is None:
        write_json(path, wanted)
    elif begun != wanted:
        before, now = _flat(begun), _flat(wanted)
        changed = [f"config.{k}" for k in sorted(before | now) if before.get(k) != now.get(k)]
        raise UserError(
            f"{folder}: holds the cases of runs with other settings ({', '.join(changed)}). Choose "
            "another folder for --data, or none and another --workdir: then each run keeps its own."
        )
    return begun is None


def give_data_back(folder: Path) -> None:
    """Takes away what `claim_data` noted: its run was refused before it made anything there."""
    (folder / _SHARED_BY).unlink()


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
