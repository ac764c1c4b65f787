"""The localiser's weights: in a file, and as they come with the package."""

from pathlib import Path
from typing import Any

import flax
import numpy as np

from vfseg.data.npz import DamagedNpz, npz_promises, read_npz
from vfseg.errors import UserError
from vfseg.files import atomic_file
from vfseg.localisation.network import first_params

SHIPPED = Path(__file__).parent / "weights.npz"
"""The weights of the package; beside them their card, `CARD.md`."""


def write_weights(path: Path, params: Any) -> None:
    """Writes parameters, half as long as they were trained (float16).

    Raises:
        UserError: they cannot be written.
    """
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    half = {name: np.asarray(array, np.float16) for name, array in flat.items()}
    with atomic_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **half)


def read_weights(path: Path = SHIPPED) -> Any:
    """Parameters of the localiser, float32.

    Raises:
        UserError: there is no such file; it is damaged, or of other networks.
    """
    return read_params(path, first_params(0))


def read_params(path: Path, like: Any) -> Any:
    """Parameters that `write_weights` wrote, float32.

    Args:
        path: of the file.
        like: parameters of the same network.

    Raises:
        UserError: there is no such file; it is damaged, or of other networks.
    """
    expected = flax.traverse_util.flatten_dict(like, sep="/")
    try:
        promised = npz_promises(path)
        if {k: v.shape for k, v in promised.items()} != {k: v.shape for k, v in expected.items()}:
            raise DamagedNpz("its arrays are those of another network")
        flat = read_npz(path)
        if not all(a.dtype.kind == "f" and np.isfinite(a).all() for a in flat.values()):
            raise DamagedNpz("it holds what are no finite numbers")
    except FileNotFoundError as error:
        raise UserError(f"{path}: there are no weights. Install vfseg again.") from error
    except DamagedNpz as error:
        raise UserError(f"{path}: damaged ({error}). Install vfseg again.") from error
    whole = {name: array.astype(np.float32) for name, array in flat.items()}
    return flax.traverse_util.unflatten_dict(whole, sep="/")
