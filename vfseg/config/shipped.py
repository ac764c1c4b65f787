"""Models without their training: what `--mode ship` writes and the package brings along.

A folder with `config.json`, `thresholds.json`, `parameters.npz` (the generator's parameters, each
under its path, and nothing that only training needs), and the digests of the three.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from vfseg.config.config import Config
from vfseg.data.npz import DamagedNpz, npz_promises, read_npz
from vfseg.digests import DIGESTS, damage, has_digests, write_digests
from vfseg.errors import UserError
from vfseg.files import atomic_file
from vfseg.inference.thresholds import THRESHOLDS, Thresholds, save_thresholds
from vfseg.json_files import write_json
from vfseg.schemas import read_checked
from vfseg.settings import whole

SHIPPED = Path(__file__).parent.parent / "shipped"
"""The model that `--mode predict` takes when none is named."""

CONFIG, PARAMETERS = "config.json", "parameters.npz"
_REMEDY = "Install it again."


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
        folder: the files go here.
        config: of the run.
        step: of the checkpoint.
        g_params: parameters of the generator.
        thresholds: chosen for that checkpoint.

    Raises:
        UserError: they cannot be written.
    """
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, g_params), sep="/")
    values = {**config.to_dict(), "step": step, "manifest": Path(config.manifest).name}
    values["pretrained"]["weights"] = Path(config.pretrained.weights).name
    values["painted"]["label_maps"] = Path(config.painted.label_maps).name
    (folder / DIGESTS).unlink(missing_ok=True)
    write_json(folder / CONFIG, values)
    save_thresholds(folder, step, thresholds, config.inference.fusion)
    with atomic_file(folder / PARAMETERS) as file:
        np.savez_compressed(file, allow_pickle=False, **flat)
    write_digests(folder, (CONFIG, THRESHOLDS, PARAMETERS))


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
    if has_digests(folder) and (wrong := damage(folder)):
        raise _damaged(folder, wrong)
    values = read_checked(folder / CONFIG, {"step": whole(0)}, _REMEDY)
    if values is None:
        raise _damaged(folder, f"{CONFIG} is missing")
    step = values.pop("step")
    try:
        expected = flax.traverse_util.flatten_dict(shapes_of(values), sep="/")
        promised = npz_promises(folder / PARAMETERS)
    except UserError:
        raise
    except Exception as error:  # networks of absurd sizes fail in JAX in many ways
        raise _damaged(folder, str(error)) from error
    for name in sorted(expected.keys() | promised.keys()):
        found, wanted = (t[name].shape if name in t else None for t in (promised, expected))
        if found != wanted:
            raise UserError(
                f"{folder / PARAMETERS}: {name} has shape {found}, and {wanted} in the networks of "
                f"its {CONFIG}. {_REMEDY}"
            )
    try:
        flat = read_npz(folder / PARAMETERS)
    except DamagedNpz as error:
        raise _damaged(folder, str(error)) from error
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in flat.values()):
        raise _damaged(folder, f"{PARAMETERS} holds what are no finite numbers")
    return values, step, flax.traverse_util.unflatten_dict(flat, sep="/")


def _damaged(folder: Path, reason: str) -> UserError:
    return UserError(
        f"{folder}: this model is damaged, or of another version ({reason}). {_REMEDY}"
    )
