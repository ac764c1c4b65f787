"""What a workdir remembers: the config and the cases it was begun with, and its results."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from vfseg.errors import UserError
from vfseg.files import atomic_file
from vfseg.training.checkpoints import Checkpoints

_FREE = ("train.patience", "train.log_every", "train.save_every")
"""Settings that change nothing that is learnt."""


def read_summary(workdir: Path) -> dict:
    """The content of `evaluation/summary.json`.

    Raises:
        UserError: nothing is evaluated yet, or the file is damaged.
    """
    path = workdir / "evaluation" / "summary.json"
    summary = read_json(path)
    if summary is None:
        raise UserError(f"{path}: nothing to report yet. Run --mode evaluate first.")
    return summary


def check_config_of(config: ConfigDict, workdir: Path) -> None:
    """Refuses to go on in a workdir that was begun, or whose newest checkpoint was, with another.

    Raises:
        UserError: names each key that was changed.
    """
    changed: dict[str, None] = {}  # each named once, in order
    for begun in (read_json(workdir / "config.json"), _config_of_newest(workdir)):
        before, now = _flat(begun or _plain(config)), _flat(_plain(config))
        changed |= {
            f"config.{key}: {before.get(key)} -> {now.get(key)}": None
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key) and key not in _FREE
        }
    if changed:
        raise UserError(
            f"{workdir} was begun with other settings:\n  "
            + "\n  ".join(changed)
            + "\nGive the old values back, or choose another --workdir."
        )


def _config_of_newest(workdir: Path) -> dict | None:
    folder = workdir / "checkpoints"
    checkpoints = Checkpoints(folder) if folder.is_dir() else None
    newest = checkpoints and checkpoints.newest
    return checkpoints.config(newest) if checkpoints and newest else None


def remember(config: ConfigDict, workdir: Path, data: str) -> None:
    """Writes the resolved config, and refuses to train on with other training data."""
    path = workdir / "data.json"
    begun = read_json(path)
    if begun is not None and begun.get("train_and_validation") != data:
        raise UserError(
            f"{workdir}: the training or validation cases changed since training began here. "
            "Choose another --workdir to train on the new data."
        )
    for target, content in (
        (workdir / "config.json", _plain(config)),
        (path, {"train_and_validation": data}),
    ):
        with atomic_file(target) as file:
            file.write(json.dumps(content, indent=2).encode())


def _plain(config: ConfigDict) -> dict:
    """The config as JSON reads it back: tuples are lists."""
    return json.loads(json.dumps(config.to_dict()))


def read_json(path: Path) -> dict | None:
    """Content of a file of the workdir; None where there is none.

    Raises:
        UserError: it is damaged.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}). Delete it, and run again.") from error


def _flat(tree: dict, prefix: str = "") -> dict:
    flat: dict = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
